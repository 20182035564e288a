//! The command line of what changes the layout.

use std::time::Duration;

use bytesize::ByteSize;
use cached_client::types::NodeName;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// How a change is carried out.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How it is carried out")]
pub struct How {
    /// Show the plan and its checks, change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Most bytes per second, over all senders [default: as fast as it goes].
    #[arg(long, value_name = "SIZE")]
    pub max_rate: Option<ByteSize>,
    /// It fails when it is not done by then; what has moved stays where it is.
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "1h", conflicts_with = "no_deadline")]
    pub deadline: Duration,
    /// It may take as long as it takes.
    #[arg(long)]
    pub no_deadline: bool,
    /// Drop, coldest first, what the receivers have no room for.
    #[arg(long)]
    pub shed: bool,
    /// Start it and end, with exit code 9; `migrations watch` shows how it goes.
    #[arg(long)]
    pub detach: bool,
    /// Why, for the others.
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub message: String,
}

/// Nothing is done within no time: whoever types that means none.
fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = humantime::parse_duration(text).map_err(|bad| bad.to_string())?;
    if deadline < DEADLINE_MIN {
        return Err("the deadline must be 1s at least; --no-deadline sets none".to_owned());
    }
    Ok(deadline)
}

/// Shortest deadline: the least in which slots can change hands.
const DEADLINE_MIN: Duration = Duration::from_secs(1);

impl How {
    /// The bound that holds, if one does.
    pub fn deadline(&self) -> Option<Duration> {
        (!self.no_deadline).then_some(self.deadline)
    }
}

/// `n1=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Whose.
    pub node: NodeName,
    /// How much.
    pub weight: u32,
}

impl std::str::FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, weight) = text
            .split_once('=')
            .ok_or("write it as NODE=WEIGHT, for instance n1=3")?;
        let problem = |bad: std::num::ParseIntError| format!("the weight {weight:?}: {bad}");
        Ok(Self {
            node: NodeName::new(node).map_err(|bad| bad.to_string())?,
            weight: weight.parse().map_err(problem)?,
        })
    }
}

/// `join`.
#[derive(Clone, Debug, Args)]
pub struct Join {
    /// Who waits, or was drained.
    #[arg(required = true, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// Weight of each of them [default: its own].
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// `drain` and `undrain`.
#[derive(Clone, Debug, Args)]
pub struct Drain {
    /// Whom.
    #[arg(required = true, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// `remove`.
#[derive(Clone, Debug, Args)]
pub struct Remove {
    /// Whom.
    #[arg(required = true, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// Also when the others lack room: what does not fit is dropped. Asks for the node's
    /// name, which --confirm answers.
    #[arg(long)]
    pub force: bool,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// `rebalance`.
#[derive(Clone, Debug, Args)]
pub struct Rebalance {
    /// A new weight; repeat for several.
    #[arg(long, value_name = "NODE=N")]
    pub weight: Vec<Weight>,
    /// Move nothing while no node is further off its share than this part of it.
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    pub threshold: Percent,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// A part of something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percent(pub f64);

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let number: f64 = number
            .parse()
            .map_err(|_| "write it as a number of percent, for instance 2%".to_owned())?;
        if !(0.0..=100.0).contains(&number) {
            return Err("it must be 0% to 100%".to_owned());
        }
        Ok(Self(number))
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// What to do with a plan that was made; without it, make one.
    #[command(subcommand)]
    pub command: Option<PlanCommand>,
    /// A node that gets its share; repeat for several.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub join: Vec<NodeName>,
    /// A node that gives all slots away; repeat for several.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub drain: Vec<NodeName>,
    /// A node that is not drained any more; repeat for several.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub undrain: Vec<NodeName>,
    /// A node that gives all slots away and ends; repeat for several.
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub remove: Vec<NodeName>,
    /// A new weight; repeat for several.
    #[arg(long, value_name = "NODE=N")]
    pub weight: Vec<Weight>,
    /// What the receivers have no room for may be dropped, coldest first.
    #[arg(long)]
    pub shed: bool,
}

/// What can be done with a plan.
#[derive(Clone, Debug, Subcommand)]
pub enum PlanCommand {
    /// Show a plan, checked once more.
    #[command(
        after_help = "Examples:\n  cachectl plan show op-7f3a90c1\n  cachectl plan show op-7f3a90c1 -o json\n\nExit codes: 0 ok · 3 no such plan · 4 unreachable · 6 it is no plan any more"
    )]
    Show {
        /// The plan's id.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Carry a plan out, as it was shown.
    #[command(
        after_help = "Examples:\n  cachectl plan apply op-7f3a90c1\n  cachectl plan apply op-7f3a90c1 --yes --max-rate 50MiB\n\nExit codes: 0 done · 3 no such plan · 4 unreachable · 6 the layout has changed since ·\n7 refused by a check · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Apply {
        /// The plan's id.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
        /// How.
        #[command(flatten)]
        how: How,
    },
}

/// `migrations`.
#[derive(Clone, Debug, Args)]
pub struct Migrations {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub command: Option<MigrationsCommand>,
}

/// What can be done with migrations.
#[derive(Clone, Debug, Subcommand)]
pub enum MigrationsCommand {
    /// Every one that the cluster remembers.
    #[command(
        after_help = "Examples:\n  cachectl migrations list\n  cachectl migrations list -o jsonl\n\nExit codes: 0 ok · 4 unreachable"
    )]
    List,
    /// Follow one to its end. Ctrl-C detaches, it does not cancel.
    #[command(
        after_help = "Examples:\n  cachectl migrations watch op-7f3a90c1\n  cachectl migrations watch -o jsonl\n\nExit codes: 0 done · 3 no such migration · 6 only planned · 8 failed or cancelled · 9 detached, it goes on"
    )]
    Watch {
        /// Which [default: the one that is open].
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: Option<String>,
    },
    /// What moves, what waits, why, since when, and when it is tried again.
    #[command(
        after_help = "Examples:\n  cachectl migrations describe op-7f3a90c1\n  cachectl migrations describe op-7f3a90c1 -o yaml\n\nExit codes: 0 ok · 3 no such migration · 4 unreachable"
    )]
    Describe {
        /// Which.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Begin nothing more; what is under way is finished.
    #[command(
        after_help = "Examples:\n  cachectl migrations pause op-7f3a90c1\n  cachectl migrations pause op-7f3a90c1 -o json\n\nExit codes: 0 paused · 3 no such migration · 4 unreachable · 6 it has ended"
    )]
    Pause {
        /// Which.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Go on with one that was paused.
    #[command(
        after_help = "Examples:\n  cachectl migrations resume op-7f3a90c1\n  cachectl migrations resume op-7f3a90c1 -o json\n\nExit codes: 0 goes on · 3 no such migration · 4 unreachable · 6 it has ended"
    )]
    Resume {
        /// Which.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// End one: what has moved stays where it is, the rest stays where it was.
    #[command(
        after_help = "Examples:\n  cachectl migrations cancel op-7f3a90c1\n  cachectl migrations cancel op-7f3a90c1 --yes\n\nExit codes: 0 is being cancelled · 3 no such migration · 4 unreachable · 6 it has ended · 7 not confirmed"
    )]
    Cancel {
        /// Which.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Bound the bytes per second over all senders.
    #[command(
        after_help = "Examples:\n  cachectl migrations rate op-7f3a90c1 20MiB\n  cachectl migrations rate op-7f3a90c1 0\n\nExit codes: 0 ok · 3 no such migration · 4 unreachable · 6 it has ended"
    )]
    Rate {
        /// Which.
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
        /// Bytes per second; 0: as fast as it goes.
        rate: ByteSize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_numbers_up_to_a_hundred() {
        for (text, percent) in [("2%", 2.0), ("2", 2.0), ("0.5 %", 0.5), ("100%", 100.0)] {
            assert_eq!(text.parse(), Ok(Percent(percent)));
        }
        for bad in ["", "%", "-1%", "101%", "two", "NaN"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        assert_eq!(Percent(2.5).to_string(), "2.5%");
    }

    #[test]
    fn weights_name_a_node_and_a_number() {
        let weight: Weight = "n1=3".parse().unwrap();
        assert_eq!((weight.node.as_str(), weight.weight), ("n1", 3));
        for bad in ["n1", "n1=", "=3", "n1=-1", "n1=3.5"] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
    }
}
