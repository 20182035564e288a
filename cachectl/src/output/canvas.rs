//! A few lines on standard error that are drawn again in place.

use std::io::Write;

use super::Output;

/// What is drawn now. Only where [`Output::draws`] says so.
#[derive(Debug, Default)]
pub struct Canvas {
    /// Lines on the terminal.
    drawn: usize,
}

impl Canvas {
    /// Draws these lines instead of those before, each cut to the terminal's width.
    pub fn draw(&mut self, output: &Output, lines: &[String]) {
        let width = output.error_width();
        let mut text = self.erasing();
        for line in lines {
            text.extend(line.chars().take(width.saturating_sub(1)));
            text.push('\n');
        }
        self.drawn = lines.len();
        print(&text);
    }

    /// Says something above the lines, which are to be drawn anew.
    pub fn note(&mut self, output: &Output, text: &str) {
        let erasing = self.erasing();
        self.drawn = 0;
        if !erasing.is_empty() {
            print(&erasing);
        }
        output.note(text);
    }

    fn erasing(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }
}

fn print(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
