//! `version`: this program's, and the answering node's if one answers.

use serde_json::json;

use super::Session;
use crate::error::CliError;
use crate::output::table::{Table, text};
use crate::output::{Body, Report};

/// `version`.
pub async fn version(session: &Session) -> Result<Report, CliError> {
    let own = env!("CARGO_PKG_VERSION");
    let node = match session.admin().await {
        Ok(admin) => admin.status().await.ok(),
        Err(_) => None,
    };
    let answered = match &node {
        Some(node) => format!("{} ({})", node.value.version, node.endpoint),
        None => "no node answers".to_owned(),
    };
    let mut rows = Table::new([text("PROGRAM"), text("VERSION")]);
    rows.row(["cachectl".to_owned(), own.to_owned()]);
    rows.row(["cached".to_owned(), answered.clone()]);
    let text = format!("cachectl {own}\ncached   {answered}\n");
    let server = node.map(|node| json!({"version": node.value.version, "endpoint": node.endpoint}));
    Ok(Report {
        body: Body::Drawn { text, rows },
        json: json!({"kind": "version", "client": own, "server": server}),
    })
}
