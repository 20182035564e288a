//! Console sessions as texts show them: commands, and what they answer.

/// A command and what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What follows `$ `.
    pub command: String,
    /// The lines after it.
    pub output: String,
}

/// What stands after `$ ` in console blocks, each with what follows it. A command
/// goes on over lines as long as a quote is open.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for line in block.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step {
                        command: command.to_owned(),
                        output: String::new(),
                    });
                }
                (None, Some(step)) if step.command.matches('\'').count() % 2 == 1 => {
                    step.command = format!("{}\n{line}", step.command);
                }
                (None, Some(step)) => step.output.push_str(&format!("{line}\n")),
                (None, None) => panic!("output before a command: {line}"),
            }
        }
    }
    steps
}

/// Whether a text is as expected, where `…` stands for anything.
pub fn matches(expected: &str, text: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = if part.is_empty() {
            rest
        } else {
            &rest[at + part.len()..]
        };
    }
    rest.is_empty() || (open && expected.ends_with('…'))
}
