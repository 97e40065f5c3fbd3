//! The file with the first user. Not an argument, since arguments and environment of a process can
//! be seen by others.

use std::path::Path;

use oxmq::protocol::signature::Credentials;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    access_key: String,
    secret_key: String,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Credentials, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let file: File = serde_json::from_str(&text).map_err(|error| {
        // The words of the error may repeat a piece of the secret.
        let (line, column) = (error.line(), error.column());
        format!(
            "{shown}: {{\"accessKey\":\"…\",\"secretKey\":\"…\"}} is wanted, and not found at line {line}, column {column}"
        )
    })?;
    if file.access_key.is_empty() || file.secret_key.is_empty() {
        return Err(format!("{shown}: neither key may be empty"));
    }
    Ok(Credentials::new(file.access_key, file.secret_key))
}
