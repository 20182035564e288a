//! Writes everything that streams say into a file, one line each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{CliError, Code};
use crate::top::message::Told;

/// Version of the format.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The format.
    pub cachectl_top: u32,
    /// When it began, Unix milliseconds.
    pub unix_ms: u64,
}

/// Every other line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// What was said.
    pub told: Told,
}

/// A file that is written.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    /// Begins a new file.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::new(
                Code::Failure,
                format!("--record {}: {error}", path.display()),
            )
        };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let head = Head {
            cachectl_top: VERSION,
            unix_ms: since.as_millis() as u64,
        };
        let text = serde_json::to_string(&head).unwrap_or_default();
        writeln!(file, "{text}")
            .and_then(|()| file.flush())
            .map_err(failed)?;
        Ok(Self {
            start: Instant::now(),
            file: Mutex::new(file),
        })
    }

    /// Writes a line. A full disk ends the recording, not the program.
    pub fn write(&self, told: &Told) {
        let line = Line {
            at_ms: self.start.elapsed().as_millis() as u64,
            told: told.clone(),
        };
        let Ok(text) = serde_json::to_string(&line) else {
            return;
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{text}").and_then(|()| file.flush());
    }
}
