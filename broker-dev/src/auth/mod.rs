//! Who may do what: users, signatures, policies.
//!
//! ```text
//! request ── signature ──► user ── demands ──► policies ──► served, or refused with NO_PERMISSION
//! ```
//!
//! Both steps are off until they are switched on, as with Apache's broker, and there are no users
//! but those that somebody made. Once authentication is on, a request without a signature is
//! refused whatever it asks.
//!
//! Source: RocketMQ 5.3.3, module `auth` ("ACL 2.0"). Differs: users and policies are kept in
//! `config/auth.json`, where Apache has a RocksDB folder; passwords are never answered; see
//! [`policy`] and [`demands`] for the rest.

mod demands;
mod policy;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use oxmq::protocol::body::{AclInfo, Body, PolicyEntryInfo, PolicyInfo, UserInfo};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::signature::{self, Credentials};
use serde::{Deserialize, Serialize};

use crate::handler::shown;
use crate::meta::MetaFile;
use crate::reply::Refusal;
use crate::store::StoreError;
use demands::Demands;
use policy::Policies;

/// The most users.
const MAX_USERS: usize = 10_000;

/// The most policies of one user.
const MAX_POLICIES: usize = 1_000;

/// What is kept of users and policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuthFile {
    users: BTreeMap<String, User>,
    /// By user.
    policies: BTreeMap<String, Vec<PolicyInfo>>,
}

impl Body for AuthFile {
    const WHAT: &'static str = "users and policies";
}

/// Somebody who can sign.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User {
    password: String,
    is_super: bool,
    is_disabled: bool,
}

/// Passwords belong into no log.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("is_super", &self.is_super)
            .field("is_disabled", &self.is_disabled)
            .finish_non_exhaustive()
    }
}

/// A user with what it may do.
#[derive(Debug)]
struct Known {
    user: User,
    policies: Policies,
}

/// Which of the two steps are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) authentication: bool,
    pub(crate) authorization: bool,
}

/// Users, and what they may do.
#[derive(Debug)]
pub(crate) struct Auth {
    switches: Switches,
    cluster: String,
    file: MetaFile<AuthFile>,
    /// As it is saved; held while saving, so that saves follow each other.
    saved: Mutex<AuthFile>,
    known: RwLock<BTreeMap<String, Arc<Known>>>,
}

impl Auth {
    /// Reads `auth.json`. Where there are no users yet, `first` becomes a super user.
    ///
    /// # Errors
    /// Neither it nor its previous generation can be read, or it holds what is no policy.
    pub(crate) fn open(
        file: MetaFile<AuthFile>,
        cluster: &str,
        switches: Switches,
        first: Option<&Credentials>,
    ) -> Result<Self, StoreError> {
        let mut saved = file.load()?.unwrap_or_default();
        if let Some(first) = first.filter(|_| saved.users.is_empty()) {
            let user =
                User { password: first.secret_key.clone(), is_super: true, is_disabled: false };
            saved.users.insert(first.access_key.clone(), user);
            file.save(&saved)?;
        }
        let known = known(&saved).map_err(|reason| StoreError::BadOptions {
            reason: format!("config/auth.json: {reason}"),
        })?;
        if switches.authentication && known.is_empty() {
            tracing::warn!("authentication is on and there are no users: every request is refused");
        }
        Ok(Self {
            switches,
            cluster: cluster.to_owned(),
            file,
            saved: Mutex::new(saved),
            known: RwLock::new(known),
        })
    }

    /// Checks a request that came from an address.
    ///
    /// # Errors
    /// Why it is not served.
    pub(crate) fn check(&self, request: &RemotingCommand, source: IpAddr) -> Result<(), Refusal> {
        if !self.switches.authentication && !self.switches.authorization {
            return Ok(());
        }
        let name = request.ext_fields.get(signature::ACCESS_KEY).unwrap_or_default();
        let known = self.user(name);
        if self.switches.authentication {
            let Some(known) = &known else { return Err(denied("no such user, or no signature")) };
            if !signature::is_signed_with(request, &known.user.password) {
                return Err(denied("the signature is wrong"));
            }
        }
        let Some(known) = known else { return Err(denied("no such user, or no signature")) };
        if known.user.is_disabled {
            return Err(denied(format!("the user `{}` is disabled", shown(name))));
        }
        if !self.switches.authorization || known.user.is_super {
            return Ok(());
        }
        let demands = match Demands::of(request, &self.cluster)? {
            Demands::All(demands) => demands,
            Demands::Super => {
                let code = request.request_code();
                return Err(denied(format!("only a super user may ask for {code}")));
            }
        };
        match demands.iter().find(|demand| !known.policies.allow(demand, source)) {
            None => Ok(()),
            Some(demand) => {
                let (name, resource) = (shown(name), &demand.resource);
                Err(denied(format!(
                    "User:{name} has no permission to access {resource} from {source}"
                )))
            }
        }
    }

    /// Whether a request comes from a super user; always so where nobody has to sign.
    pub(crate) fn is_super(&self, request: &RemotingCommand) -> bool {
        let name = request.ext_fields.get(signature::ACCESS_KEY).unwrap_or_default();
        !self.switches.authentication || self.user(name).is_some_and(|known| known.user.is_super)
    }

    fn user(&self, name: &str) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Changes users or policies and saves; nothing is changed if that fails.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut AuthFile) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = saved.clone();
        let outcome = change(&mut next)?;
        let known = known(&next).map_err(invalid)?;
        self.file.save(&next)?;
        *saved = next;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(outcome)
    }

    fn read<T>(&self, look: impl FnOnce(&AuthFile) -> T) -> T {
        look(&self.saved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a user.
    pub(crate) fn create_user(&self, name: &str, info: &UserInfo) -> Result<(), Refusal> {
        let password = info.password.clone().filter(|password| !password.is_empty());
        let password = password.ok_or_else(|| invalid("a user needs a password"))?;
        if name.is_empty() || name.len() > 255 {
            return Err(invalid("a user's name has 1 to 255 bytes"));
        }
        self.change(|file| {
            if file.users.contains_key(name) {
                return Err(failed(format!("the user `{}` is there already", shown(name))));
            }
            if file.users.len() >= MAX_USERS {
                return Err(failed(format!("there are {MAX_USERS} users: no more are possible")));
            }
            let mut user = User { password, ..User::default() };
            user.apply(info)?;
            file.users.insert(name.to_owned(), user);
            Ok(())
        })
    }

    /// Changes what is given of a user.
    pub(crate) fn update_user(&self, name: &str, info: &UserInfo) -> Result<(), Refusal> {
        self.change(|file| {
            let user = file.users.get_mut(name).ok_or_else(|| no_user(name))?;
            if let Some(password) = info.password.as_ref().filter(|it| !it.is_empty()) {
                user.password.clone_from(password);
            }
            user.apply(info)
        })
    }

    /// Removes a user and its policies.
    pub(crate) fn delete_user(&self, name: &str) -> Result<(), Refusal> {
        self.change(|file| {
            file.users.remove(name);
            file.policies.remove(name);
            Ok(())
        })
    }

    /// Whether a user is a super user; `None` if there is no such user.
    pub(crate) fn is_super_user(&self, name: &str) -> Option<bool> {
        self.user(name).map(|known| known.user.is_super)
    }

    /// The users whose names contain a text, without their passwords.
    pub(crate) fn users(&self, filter: &str) -> Vec<UserInfo> {
        self.read(|file| {
            let users = file.users.iter().filter(|(name, _)| name.contains(filter));
            users.map(|(name, user)| user.info(name)).collect()
        })
    }

    /// One user.
    pub(crate) fn user_info(&self, name: &str) -> Option<UserInfo> {
        self.read(|file| file.users.get(name).map(|user| user.info(name)))
    }

    /// Adds policies, which replace those of the same type and resource; with `is_new`, the user
    /// need not have any yet.
    pub(crate) fn put_acl(&self, name: &str, info: AclInfo, is_new: bool) -> Result<(), Refusal> {
        self.change(|file| {
            if !file.users.contains_key(name) {
                return Err(no_user(name));
            }
            if !is_new && !file.policies.contains_key(name) {
                return Err(failed(format!("the user `{}` has no policies", shown(name))));
            }
            let policies = file.policies.entry(name.to_owned()).or_default();
            for policy in info.policies {
                merge(policies, policy);
            }
            let count: usize = policies.iter().map(|policy| policy.entries.len()).sum();
            if count > MAX_POLICIES {
                return Err(failed(format!("a user can have {MAX_POLICIES} policies")));
            }
            Ok(())
        })
    }

    /// Removes policies of a type, of a resource, or all.
    pub(crate) fn delete_acl(
        &self,
        name: &str,
        policy_type: Option<&str>,
        resource: Option<&str>,
    ) -> Result<(), Refusal> {
        self.change(|file| {
            let Some(policies) = file.policies.get_mut(name) else {
                return Err(failed(format!("the user `{}` has no policies", shown(name))));
            };
            for policy in policies.iter_mut() {
                if policy_type.is_none_or(|wanted| type_of(policy).eq_ignore_ascii_case(wanted)) {
                    policy.entries.retain(|entry| {
                        resource.is_some_and(|resource| entry.resource.as_deref() != Some(resource))
                    });
                }
            }
            policies.retain(|policy| !policy.entries.is_empty());
            if policies.is_empty() {
                file.policies.remove(name);
            }
            Ok(())
        })
    }

    /// The policies of users whose subject contains a text, those whose resource contains another.
    pub(crate) fn acls(&self, subject: &str, resource: &str) -> Vec<AclInfo> {
        self.read(|file| {
            let all = file.policies.iter().map(|(name, policies)| acl(name, policies));
            let wanted = all.filter_map(|mut acl| {
                for policy in &mut acl.policies {
                    policy.entries.retain(|entry| {
                        entry.resource.as_deref().unwrap_or_default().contains(resource)
                    });
                }
                acl.policies.retain(|policy| !policy.entries.is_empty());
                let name = acl.subject.as_deref().unwrap_or_default();
                (name.contains(subject) && !acl.policies.is_empty()).then_some(acl)
            });
            wanted.collect()
        })
    }

    /// One user's policies.
    pub(crate) fn acl(&self, name: &str) -> Option<AclInfo> {
        self.read(|file| file.policies.get(name).map(|policies| acl(name, policies)))
    }
}

impl User {
    fn apply(&mut self, info: &UserInfo) -> Result<(), Refusal> {
        match info.user_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => {}
            Some("super") => self.is_super = true,
            Some("normal") => self.is_super = false,
            Some(_) => return Err(invalid("a user is Super or Normal")),
        }
        match info.user_status.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => {}
            Some("enable") => self.is_disabled = false,
            Some("disable") => self.is_disabled = true,
            Some(_) => return Err(invalid("a user's status is enable or disable")),
        }
        Ok(())
    }

    fn info(&self, name: &str) -> UserInfo {
        UserInfo {
            username: Some(name.to_owned()),
            password: None,
            user_type: Some(if self.is_super { "Super" } else { "Normal" }.to_owned()),
            user_status: Some(if self.is_disabled { "disable" } else { "enable" }.to_owned()),
        }
    }
}

fn known(file: &AuthFile) -> Result<BTreeMap<String, Arc<Known>>, String> {
    let known = file.users.iter().map(|(name, user)| {
        let policies = file.policies.get(name).cloned().unwrap_or_default();
        let policies = Policies::parse(&AclInfo { subject: None, policies })?;
        Ok((name.clone(), Arc::new(Known { user: user.clone(), policies })))
    });
    known.collect()
}

fn type_of(policy: &PolicyInfo) -> &str {
    policy.policy_type.as_deref().filter(|text| !text.is_empty()).unwrap_or("Custom")
}

fn merge(policies: &mut Vec<PolicyInfo>, new: PolicyInfo) {
    let same =
        policies.iter_mut().find(|policy| type_of(policy).eq_ignore_ascii_case(type_of(&new)));
    let Some(known) = same else { return policies.push(new) };
    for entry in new.entries {
        let is_same = |known: &&mut PolicyEntryInfo| known.resource == entry.resource;
        match known.entries.iter_mut().find(is_same) {
            Some(known) => *known = entry,
            None => known.entries.push(entry),
        }
    }
}

fn acl(name: &str, policies: &[PolicyInfo]) -> AclInfo {
    AclInfo { subject: Some(format!("User:{name}")), policies: policies.to_vec() }
}

fn denied(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::NO_PERMISSION, remark)
}

fn invalid(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
}

fn failed(remark: String) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}

fn no_user(name: &str) -> Refusal {
    failed(format!("there is no user `{}`", shown(name)))
}
