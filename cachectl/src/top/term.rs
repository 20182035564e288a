//! The terminal: taken over at the start, and given back whatever happens.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// Buttons and wheel, but not every movement.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1015h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1015l\x1b[?1000l";

static HOOK: Once = Once::new();

/// The terminal is ours: it is given back once, or the second time would put the cursor
/// where it was, over what a panic had to say.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// While it lives, the terminal is ours.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Takes the terminal over. A panic gives it back before it says anything.
    pub fn enter() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                leave();
                before(info);
            }));
        });
        let guard = Self(());
        take()?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// What fails here cannot be helped.
fn leave() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = io::stdout().write_all(MOUSE_OFF.as_bytes());
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

/// Reports buttons and wheel, or leaves the mouse to the terminal.
pub fn mouse(on: bool) {
    send(if on { MOUSE_ON } else { MOUSE_OFF });
}

/// Puts a text on the clipboard of terminals that know how (OSC 52).
pub fn copy(text: &str) {
    send(&format!("\x1b]52;c;{}\x07", STANDARD.encode(text)));
}

fn send(codes: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(codes.as_bytes());
    let _ = stdout.flush();
}

/// Gives the terminal back, stops until the shell says go on, and takes it over again.
pub fn suspend() -> io::Result<()> {
    use rustix::process::{Signal, getpid, kill_process};
    leave();
    kill_process(getpid(), Signal::TSTP)?;
    take()
}
