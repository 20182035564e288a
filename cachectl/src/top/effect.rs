//! What the state wants done: nothing else touches the world. Pure.

use std::time::Duration;

use cached_client::admin::{ApplyOptions, Control};

use crate::units;

/// What is to be done after a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the cluster, and tell what came of it.
    Ask(Ask),
    /// Try every stream again now.
    Retry,
    /// Report the mouse's buttons, or leave the mouse to the terminal.
    Mouse(bool),
    /// Put this on the clipboard.
    Copy(String),
    /// Give the terminal back until the shell says go on.
    Suspend,
    /// Look at the cluster of another context.
    Context(String),
    /// End.
    Quit,
}

/// A change of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node gives its slots away.
    Drain,
    /// It gets them back.
    Undrain,
    /// It gets its share.
    Join,
}

impl Change {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Join => "join",
        }
    }
}

/// What the cluster is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A plan, to be shown first.
    Plan {
        /// Of what.
        change: Change,
        /// Whom.
        node: String,
    },
    /// Carry a plan out.
    Apply {
        /// Of what.
        change: Change,
        /// Whom.
        node: String,
        /// The plan.
        id: String,
        /// The layout that was shown.
        base_layout: u64,
        /// How.
        options: ApplyOptions,
    },
    /// Pause, resume, cancel an operation, or change its rate.
    Control {
        /// Which.
        id: String,
        /// What.
        control: Control,
    },
    /// Nobody attempts this node for a while.
    Block {
        /// Whom.
        node: String,
        /// For how long.
        ttl: Duration,
        /// Why.
        reason: String,
    },
    /// Take such an entry back.
    Unblock {
        /// Whom.
        node: String,
    },
    /// Where a key lives, and what it holds.
    LookUp {
        /// Its group; empty: the cluster's own.
        group: String,
        /// The key.
        key: String,
    },
    /// Write a key.
    Set {
        /// Its group.
        group: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Time to live; `None`: the group's.
        ttl: Option<Duration>,
    },
    /// Remove a key.
    Delete {
        /// Its group.
        group: String,
        /// The key.
        key: String,
    },
    /// Remove every entry of a group.
    Flush {
        /// Which.
        group: String,
    },
    /// A new group.
    CreateGroup {
        /// Its name.
        name: String,
        /// Bound over the whole cluster; 0: none.
        max_bytes: u64,
        /// Time to live of entries written without one.
        ttl: Option<Duration>,
    },
}

impl Ask {
    /// The command that does the same.
    pub fn command(&self) -> String {
        match self {
            Self::Plan { change, node } => {
                format!("cachectl {} {} --dry-run", change.name(), quote(node))
            }
            Self::Apply {
                change,
                node,
                options,
                ..
            } => {
                let mut words = format!("cachectl {} {}", change.name(), quote(node));
                if options.max_rate_bytes > 0 {
                    words.push_str(&format!(" --max-rate {}", size(options.max_rate_bytes)));
                }
                match options.deadline {
                    Some(deadline) => words.push_str(&format!(" --deadline {}", time(deadline))),
                    None => words.push_str(" --no-deadline"),
                }
                if !options.message.is_empty() {
                    words.push_str(&format!(" -m {}", quote(&options.message)));
                }
                words
            }
            Self::Control { id, control } => {
                let word = match control {
                    Control::Pause => "pause",
                    Control::Resume => "resume",
                    Control::Cancel => "cancel",
                    Control::Rate(rate) => {
                        return format!("cachectl migrations rate {id} {}", size(*rate));
                    }
                };
                format!("cachectl migrations {word} {id}")
            }
            Self::Block { node, ttl, reason } => {
                let mut words = format!(
                    "cachectl blacklist add {} --ttl {}",
                    quote(node),
                    time(*ttl)
                );
                if !reason.is_empty() {
                    words.push_str(&format!(" --reason {}", quote(reason)));
                }
                words
            }
            Self::Unblock { node } => format!("cachectl blacklist remove {}", quote(node)),
            other => other.command_about_data(),
        }
    }

    /// The same for keys and groups.
    fn command_about_data(&self) -> String {
        match self {
            Self::LookUp { group, key } => {
                format!(
                    "cachectl locate {}{} --explain",
                    quote(key),
                    in_group(group)
                )
            }
            Self::Set {
                group,
                key,
                value,
                ttl,
            } => {
                let ttl = ttl.map_or(String::new(), |ttl| format!(" --ttl {}", time(ttl)));
                format!(
                    "cachectl set {} {}{}{ttl}",
                    quote(key),
                    quote(value),
                    in_group(group)
                )
            }
            Self::Delete { group, key } => {
                format!("cachectl delete {}{}", quote(key), in_group(group))
            }
            Self::Flush { group } => {
                let group = quote(group);
                format!("cachectl groups flush {group} --confirm {group}")
            }
            Self::CreateGroup {
                name,
                max_bytes,
                ttl,
            } => {
                let mut words = format!("cachectl groups create {}", quote(name));
                if *max_bytes > 0 {
                    words.push_str(&format!(" --max-bytes {}", size(*max_bytes)));
                }
                if let Some(ttl) = ttl {
                    words.push_str(&format!(" --ttl {}", time(*ttl)));
                }
                words
            }
            _ => String::new(),
        }
    }

    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Plan { .. } | Self::LookUp { .. })
    }
}

fn in_group(group: &str) -> String {
    if group.is_empty() {
        String::new()
    } else {
        format!(" -g {}", quote(group))
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes > 0 && bytes.is_multiple_of(MIB) {
        format!("{}MiB", bytes / MIB)
    } else {
        bytes.to_string()
    }
}

fn time(time: Duration) -> String {
    humantime::format_duration(time)
        .to_string()
        .replace(' ', "")
}

/// As a shell reads it back.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A rate as people read it.
pub fn rate(bytes: u64) -> String {
    match bytes {
        0 => "not bounded".to_owned(),
        bytes => format!("{}/s", units::bytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_has_its_command() {
        let node = "n3".to_owned();
        let id = "op-7f3a90c1".to_owned();
        let options = ApplyOptions {
            max_rate_bytes: 50 << 20,
            deadline: Some(Duration::from_secs(3600)),
            message: "disk swap".to_owned(),
            ..ApplyOptions::default()
        };
        let control = |control| Ask::Control {
            id: id.clone(),
            control,
        };
        for (ask, command) in [
            (
                Ask::Apply {
                    change: Change::Drain,
                    node: node.clone(),
                    id: id.clone(),
                    base_layout: 7,
                    options,
                },
                "cachectl drain n3 --max-rate 50MiB --deadline 1h -m 'disk swap'",
            ),
            (
                control(Control::Pause),
                "cachectl migrations pause op-7f3a90c1",
            ),
            (
                control(Control::Rate(1000)),
                "cachectl migrations rate op-7f3a90c1 1000",
            ),
            (
                Ask::Block {
                    node: node.clone(),
                    ttl: Duration::from_secs(300),
                    reason: String::new(),
                },
                "cachectl blacklist add n3 --ttl 5m",
            ),
            (Ask::Unblock { node }, "cachectl blacklist remove n3"),
        ] {
            assert_eq!(ask.command(), command);
        }
    }

    #[test]
    fn keys_and_groups_have_theirs() {
        let (group, key) = ("users".to_owned(), "it's".to_owned());
        for (ask, command) in [
            (
                Ask::LookUp {
                    group: group.clone(),
                    key: key.clone(),
                },
                r"cachectl locate 'it'\''s' -g users --explain",
            ),
            (
                Ask::Set {
                    group: String::new(),
                    key: "a".to_owned(),
                    value: String::new(),
                    ttl: Some(Duration::from_secs(90)),
                },
                "cachectl set a '' --ttl 1m30s",
            ),
            (
                Ask::Delete {
                    group: group.clone(),
                    key,
                },
                r"cachectl delete 'it'\''s' -g users",
            ),
            (
                Ask::Flush { group },
                "cachectl groups flush users --confirm users",
            ),
            (
                Ask::CreateGroup {
                    name: "a b".to_owned(),
                    max_bytes: 1 << 30,
                    ttl: None,
                },
                "cachectl groups create 'a b' --max-bytes 1024MiB",
            ),
        ] {
            assert_eq!(ask.command(), command);
        }
    }
}
