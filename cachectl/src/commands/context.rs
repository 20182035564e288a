//! `context`: clusters by name, kept in a file of this program.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Session;
use crate::args::Global;
use crate::args::tools::{self, ContextCommand};
use crate::contexts::{self, Context, ContextFile};
use crate::error::{CliError, Code};
use crate::output::table::{Table, text};
use crate::output::{Body, Report};
use crate::settings;

/// `context`.
pub async fn context(session: &Session, args: &tools::Context) -> Result<Report, CliError> {
    let path = contexts::path().ok_or_else(|| {
        CliError::usage("neither CACHECTL_CONFIG, XDG_CONFIG_HOME nor HOME is set")
    })?;
    if let Some(ContextCommand::Edit) = &args.command {
        return edit(&path);
    }
    let mut file = ContextFile::load(Some(&path))?;
    match args.command.as_ref().unwrap_or(&ContextCommand::List) {
        ContextCommand::List => Ok(list(&file)),
        ContextCommand::Add { name, set, and_use } => {
            let context = described(&session.global, file.contexts.remove(name), set)?;
            file.contexts.insert(name.clone(), context);
            if *and_use || file.current.is_none() {
                file.switch(name)?;
            }
            file.save(&path)?;
            Ok(told(&file, name, &format!("context {name} is described")))
        }
        ContextCommand::Use { name } => {
            file.switch(name)?;
            file.save(&path)?;
            Ok(told(&file, name, &format!("context {name} is in use")))
        }
        ContextCommand::Previous => {
            let Some(name) = file.previous.clone() else {
                return Err(CliError::usage("no other context was in use before"));
            };
            file.switch(&name)?;
            file.save(&path)?;
            Ok(told(&file, &name, &format!("context {name} is in use")))
        }
        ContextCommand::Current => {
            let name = in_use(session, &file).ok_or_else(nobody)?;
            file.get(&name)?;
            Ok(told(&file, &name, &name))
        }
        ContextCommand::Prompt => Ok(prompt(session, &file)),
        ContextCommand::Remove { name } => {
            file.get(name)?;
            file.contexts.remove(name);
            file.current = file.current.filter(|current| current != name);
            file.previous = file.previous.filter(|previous| previous != name);
            file.save(&path)?;
            Ok(told(&file, name, &format!("context {name} is forgotten")))
        }
        ContextCommand::Validate { name, connect } => {
            validate(session, &file, name.as_deref(), *connect).await
        }
        ContextCommand::Edit => Ok(Report::nothing()),
    }
}

fn nobody() -> CliError {
    CliError::new(Code::NotFound, "no context is in use").hint("cachectl context use NAME")
}

/// The one that other commands would use.
fn in_use(session: &Session, file: &ContextFile) -> Option<String> {
    session.global.context.clone().or(file.current.clone())
}

/// A context by the flags of a command line, over what it was before.
fn described(
    global: &Global,
    before: Option<Context>,
    set: &[String],
) -> Result<Context, CliError> {
    let mut context = before.unwrap_or_default();
    if !global.endpoint.is_empty() {
        context.endpoints.clone_from(&global.endpoint);
    }
    if !global.etcd.is_empty() {
        context.etcd.clone_from(&global.etcd);
    }
    let flags = [
        (&global.token_file, &mut context.token_file),
        (&global.tls_ca, &mut context.tls_ca),
        (&global.tls_cert, &mut context.tls_cert),
        (&global.tls_key, &mut context.tls_key),
    ];
    for (flag, file) in flags {
        if let Some(flag) = flag {
            // Used from other folders, too.
            *file = Some(std::path::absolute(flag).unwrap_or_else(|_| flag.clone()));
        }
    }
    if global.cluster.is_some() {
        context.cluster.clone_from(&global.cluster);
    }
    context.read_only |= global.read_only;
    set.iter().try_for_each(|text| context.set(text))?;
    match context.problems().as_slice() {
        [] => Ok(context),
        problems => Err(CliError::usage(problems.join("; "))),
    }
}

fn list(file: &ContextFile) -> Report {
    let mut table = Table::new([
        text("CONTEXT"),
        text("IN USE"),
        text("ENDPOINTS"),
        text("ETCD").rank(2),
        text("CLUSTER").rank(3),
        text("MODE").rank(1),
        text("DESCRIPTION").rank(4),
    ]);
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    for (name, context) in &file.contexts {
        let mode = match (context.production, context.read_only) {
            (true, true) => "production, read-only",
            (true, false) => "production",
            (false, true) => "read-only",
            (false, false) => "",
        };
        let current = file.current.as_ref() == Some(name);
        table.row([
            name.clone(),
            if current { "*" } else { "" }.to_owned(),
            or_dash(context.endpoints.join(",")),
            or_dash(context.etcd.join(",")),
            or_dash(context.cluster.clone().unwrap_or_default()),
            mode.to_owned(),
            context.description.clone(),
        ]);
    }
    if file.contexts.is_empty() {
        table.footer = Some("none: cachectl context add NAME --endpoint URL".to_owned());
    }
    let items = file.contexts.keys().map(|name| context_json(file, name));
    Report {
        body: Body::Table(table),
        json: json!({"kind": "contexts", "items": items.collect::<Vec<_>>()}),
    }
}

fn context_json(file: &ContextFile, name: &str) -> Value {
    let context = file.contexts.get(name).cloned().unwrap_or_default();
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    json!({
        "name": name,
        "current": file.current.as_deref() == Some(name),
        "description": context.description,
        "endpoints": context.endpoints,
        "etcd": context.etcd,
        "cluster": context.cluster,
        "token_file": path(&context.token_file),
        "tls_ca": path(&context.tls_ca),
        "tls_cert": path(&context.tls_cert),
        "tls_key": path(&context.tls_key),
        "production": context.production,
        "read_only": context.read_only,
        "confirm": context.confirm,
        "color": context.color,
    })
}

fn told(file: &ContextFile, name: &str, text: &str) -> Report {
    let mut json = context_json(file, name);
    json["kind"] = "context".into();
    Report {
        body: Body::Text(format!("{text}\n")),
        json,
    }
}

/// `prod` or `prod!`, in its colour; never an error, which would spoil every prompt.
fn prompt(session: &Session, file: &ContextFile) -> Report {
    let Some(name) = in_use(session, file) else {
        return Report::nothing();
    };
    let context = file.contexts.get(&name).cloned().unwrap_or_default();
    let mark = if context.production { "!" } else { "" };
    let shown = match context.color.filter(|_| session.output.colors_wanted()) {
        Some(paint) => format!("\x1b[{}m{name}{mark}\x1b[0m", paint.ansi()),
        None => format!("{name}{mark}"),
    };
    told(file, &name, &shown)
}

async fn validate(
    session: &Session,
    file: &ContextFile,
    only: Option<&str>,
    connect: bool,
) -> Result<Report, CliError> {
    if let Some(name) = only {
        file.get(name)?;
    }
    let mut table = Table::new([text("CONTEXT"), text("RESULT"), text("DETAIL")]);
    let (mut items, mut bad) = (Vec::new(), Vec::new());
    if let Some(current) = file
        .current
        .as_deref()
        .filter(|name| file.get(name).is_err())
    {
        bad.push(current.to_owned());
        table.row([
            current.to_owned(),
            "missing".to_owned(),
            "is said to be in use".to_owned(),
        ]);
        items.push(json!({"name": current, "valid": false, "detail": "is said to be in use"}));
    }
    for (name, context) in &file.contexts {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let mut problems = context.problems();
        let mut detail = String::new();
        if problems.is_empty() && connect {
            match reach(session, name).await {
                Ok(cluster) => detail = format!("cluster {cluster} answers"),
                Err(error) => problems.push(error.message),
            }
        }
        if !problems.is_empty() {
            bad.push(name.clone());
            detail = problems.join("; ");
        }
        let result = if problems.is_empty() { "ok" } else { "bad" };
        items.push(json!({"name": name, "valid": problems.is_empty(), "detail": detail}));
        table.row([name.clone(), result.to_owned(), detail]);
    }
    let report = Report {
        body: Body::Table(table),
        json: json!({"kind": "validation", "items": items}),
    };
    if bad.is_empty() {
        return Ok(report);
    }
    session.output.report(&report)?;
    let message = format!("not as it should be: {}", bad.join(", "));
    Err(CliError::new(Code::Failure, message))
}

/// The name of the cluster that answers there.
async fn reach(session: &Session, name: &str) -> Result<String, CliError> {
    // What was typed, or is set in the environment, would win over what is checked.
    let global = Global {
        context: Some(name.to_owned()),
        endpoint: Vec::new(),
        etcd: Vec::new(),
        cluster: None,
        token_file: None,
        tls_ca: None,
        tls_cert: None,
        tls_key: None,
        ..session.global.clone()
    };
    let there = Session {
        settings: settings::resolve(&global, &settings::Sources::default())?,
        output: crate::output::Output::new(&global),
        global,
        interrupt: crate::interrupt::Interrupt::default(),
    };
    Ok(there.admin().await?.status().await?.value.cluster)
}

/// Opens the file, and checks it before it counts.
fn edit(path: &std::path::Path) -> Result<Report, CliError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".into());
    if !path.exists() {
        ContextFile::default().save(path)?;
    }
    let beside = path.with_extension("toml.edit");
    let io = |error: std::io::Error| {
        CliError::new(Code::Failure, format!("{}: {error}", beside.display()))
    };
    std::fs::copy(path, &beside).map_err(io)?;
    let ended = std::process::Command::new(&editor).arg(&beside).status();
    let ended = ended.map_err(|error| {
        CliError::new(
            Code::Failure,
            format!("{}: {error}", editor.to_string_lossy()),
        )
        .hint("set EDITOR")
    })?;
    if !ended.success() {
        std::fs::remove_file(&beside).map_err(io)?;
        return Err(CliError::new(
            Code::Failure,
            "the editor failed; nothing was changed",
        ));
    }
    let text = std::fs::read_to_string(&beside).map_err(io)?;
    let file = ContextFile::parse(&text, &beside)
        .map_err(|error| error.hint(format!("what was written is kept in {}", beside.display())))?;
    std::fs::rename(&beside, path).map_err(io)?;
    let mut report = list(&file);
    report.body = Body::Text(format!("{} contexts\n", file.contexts.len()));
    Ok(report)
}
