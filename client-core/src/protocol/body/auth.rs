//! Users and what they may do: codes 3001 to 3010.

use serde::{Deserialize, Serialize};

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    /// The name, which is the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, which is the secret key; never in an answer of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `Super` or `Normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    /// `enable` or `disable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_status: Option<String>,
}

/// What one subject may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AclInfo {
    /// `User:` and a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The policies.
    pub policies: Vec<PolicyInfo>,
}

/// Policies of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyInfo {
    /// `Custom`, which missing means too, or `Default`, which is looked at where no custom one fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_type: Option<String>,
    /// The policies.
    pub entries: Vec<PolicyEntryInfo>,
}

/// One policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyEntryInfo {
    /// `Topic:orders`, `Group:billing*`, `Cluster:*`, `*`.
    pub resource: Option<String>,
    /// `All`, `Any`, `Pub`, `Sub`, `Create`, `Update`, `Delete`, `Get`, `List`.
    pub actions: Vec<String>,
    /// Addresses, or ranges such as `10.0.0.0/8`; none is everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
    /// `Allow` or `Deny`.
    pub decision: Option<String>,
}
