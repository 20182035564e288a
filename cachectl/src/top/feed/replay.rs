//! Says again what was recorded, at the pace at which it was said.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};

use super::record::{Head, Line, VERSION};
use crate::error::CliError;
use crate::top::message::{Message, Told};

/// A recording that was opened.
#[derive(Debug)]
pub struct Recording {
    lines: std::io::Lines<BufReader<File>>,
    /// When it began, Unix milliseconds.
    pub unix_ms: u64,
}

impl Recording {
    /// Opens a file and reads its first line.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let bad = |why: String| CliError::usage(format!("--replay {}: {why}", path.display()));
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut lines = BufReader::new(file).lines();
        let first = lines
            .next()
            .transpose()
            .map_err(|error| bad(error.to_string()))?;
        let head: Head = serde_json::from_str(&first.unwrap_or_default())
            .map_err(|_| bad("is no recording of `cachectl top`".to_owned()))?;
        if head.cachectl_top != VERSION {
            let version = head.cachectl_top;
            return Err(bad(format!(
                "has format {version}, this program reads {VERSION}"
            )));
        }
        Ok(Self {
            lines,
            unix_ms: head.unix_ms,
        })
    }

    /// Says it all, and then that it has ended.
    pub async fn play(self, sender: Sender<Message>) {
        let start = Instant::now();
        for line in self.lines {
            let read = line.map_err(|error| error.to_string());
            let read = read.and_then(|text| {
                serde_json::from_str::<Line>(&text).map_err(|bad| bad.to_string())
            });
            let message = match read {
                Ok(line) => {
                    sleep_until(start + Duration::from_millis(line.at_ms)).await;
                    Message::Told(line.told)
                }
                // Cut off in the middle of a line, or written by another version.
                Err(error) => Message::Say {
                    text: format!("a line of the recording cannot be read: {error}"),
                    bad: true,
                },
            };
            if sender.send(message).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Message::Told(Told::End)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::feed::record::Recorder;
    use crate::top::message::Source;

    #[tokio::test]
    async fn what_was_recorded_is_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let recorder = Recorder::create(&path).unwrap();
        let lost = |attempt| Told::Lost {
            source: Source::Status,
            reason: "refused".to_owned(),
            attempt,
            retry_in_ms: 250,
        };
        recorder.write(&lost(1));
        recorder.write(&lost(2));
        let (sender, mut messages) = tokio::sync::mpsc::channel(8);
        Recording::open(&path).unwrap().play(sender).await;
        let mut attempts = Vec::new();
        while let Some(Message::Told(told)) = messages.recv().await {
            match told {
                Told::Lost { attempt, .. } => attempts.push(attempt),
                Told::End => attempts.push(0),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(attempts, [1, 2, 0]);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        std::fs::write(&path, "{\"cachectl_top\":9,\"unix_ms\":1}\n").unwrap();
        let error = Recording::open(&path).unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");
        std::fs::write(&path, "hello").unwrap();
        assert!(Recording::open(&path).is_err());
        assert!(Recording::open(&folder.path().join("none")).is_err());
    }
}
