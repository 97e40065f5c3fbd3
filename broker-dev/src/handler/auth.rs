//! Users and policies: codes 3001 to 3010.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use oxmq::protocol::body::{AclInfo, Body, UserInfo};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{AclRequestHeader, UserRequestHeader};
use serde::Serialize;

use super::shown;
use crate::core::Core;
use crate::reply::{Refusal, Reply, Served};

/// Codes 3001 to 3005.
pub(crate) fn user(core: &Core, request: &RemotingCommand) -> Served {
    let header: UserRequestHeader = request.header()?;
    let name = header.username.unwrap_or_default();
    match request.request_code() {
        RequestCode::AUTH_CREATE_USER => {
            let info = UserInfo::decode(&request.body)?;
            check_super(core, request, &[], &info)?;
            core.auth.create_user(&name, &info)?;
        }
        RequestCode::AUTH_UPDATE_USER => {
            let info = UserInfo::decode(&request.body)?;
            check_super(core, request, &[&name], &info)?;
            core.auth.update_user(&name, &info)?;
        }
        RequestCode::AUTH_DELETE_USER => {
            check_super(core, request, &[&name], &UserInfo::default())?;
            core.auth.delete_user(&name)?;
        }
        RequestCode::AUTH_GET_USER => {
            let info = core.auth.user_info(&name);
            return Ok(info.map_or_else(Reply::done, |info| Reply::body(info.encode())));
        }
        _ => return list(&core.auth.users(header.filter.as_deref().unwrap_or_default())),
    }
    Ok(Reply::done())
}

/// Codes 3006 to 3010.
pub(crate) fn acl(core: &Core, request: &RemotingCommand) -> Served {
    let header: AclRequestHeader = request.header()?;
    let subject = header.subject.as_deref().unwrap_or_default();
    if request.request_code() == RequestCode::AUTH_LIST_ACL {
        let filter = |text: &Option<String>| text.clone().unwrap_or_default();
        return list(
            &core.auth.acls(&filter(&header.subject_filter), &filter(&header.resource_filter)),
        );
    }
    let name = subject.strip_prefix("User:").ok_or_else(|| {
        let remark = format!("`{}` is no subject, such as User:anna", shown(subject));
        Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
    })?;
    match request.request_code() {
        RequestCode::AUTH_CREATE_ACL => {
            core.auth.put_acl(name, AclInfo::decode(&request.body)?, true)?;
        }
        RequestCode::AUTH_UPDATE_ACL => {
            core.auth.put_acl(name, AclInfo::decode(&request.body)?, false)?;
        }
        RequestCode::AUTH_DELETE_ACL => {
            let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let (policy_type, resource) = (given(&header.policy_type), given(&header.resource));
            core.auth.delete_acl(name, policy_type.as_deref(), resource.as_deref())?;
        }
        _ => {
            let acl = core.auth.acl(name);
            return Ok(acl.map_or_else(Reply::done, |acl| Reply::body(acl.encode())));
        }
    }
    Ok(Reply::done())
}

/// Only a super user makes, changes or removes another.
fn check_super(
    core: &Core,
    request: &RemotingCommand,
    touched: &[&str],
    info: &UserInfo,
) -> Result<(), Refusal> {
    let becomes = info.user_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("super"));
    let is_one = touched.iter().any(|name| core.auth.is_super_user(name) == Some(true));
    if (becomes || is_one) && !core.auth.is_super(request) {
        let remark = "only a super user may make, change or remove a super user";
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(())
}

fn list<T: Serialize>(items: &[T]) -> Served {
    serde_json::to_vec(items).map(Reply::body).map_err(|error| {
        Refusal::new(ResponseCode::SYSTEM_ERROR, format!("the list cannot be written: {error}"))
    })
}
