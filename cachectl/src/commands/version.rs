//! `version`: this program's, and the answering node's if one answers.

use serde_json::json;

use super::Session;
use crate::error::CliError;
use crate::output::{Body, Report};

/// `version`.
pub async fn version(session: &Session) -> Result<Report, CliError> {
    let own = env!("CARGO_PKG_VERSION");
    let node = match session.admin().await {
        Ok(admin) => admin.status().await.ok(),
        Err(_) => None,
    };
    let mut text = format!("cachectl {own}\n");
    match &node {
        Some(node) => text.push_str(&format!(
            "cached   {} ({})\n",
            node.value.version, node.endpoint
        )),
        None => text.push_str("cached   no node answers\n"),
    }
    let server = node.map(|node| json!({"version": node.value.version, "endpoint": node.endpoint}));
    Ok(Report {
        body: Body::Text(text),
        json: json!({"kind": "version", "client": own, "server": server}),
    })
}
