//! The terminal's own settings: keys one by one and unseen while a question is asked, and as they
//! were before on every way out.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// What the terminal does with Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupts {
    /// It is a key like any other: nothing can get between it and the question.
    AsKey,
    /// It is a signal to the program, which works.
    AsSignal,
}

/// A terminal that hands over keys as they are typed and shows none; dropped, it is as before.
pub(crate) struct Quiet {
    before: Termios,
}

impl Quiet {
    /// While the program works between two questions: what is typed is not shown, Ctrl-C is a signal.
    pub(crate) fn between() -> io::Result<Quiet> {
        Quiet::enter(Interrupts::AsSignal)
    }

    pub(super) fn enter(interrupts: Interrupts) -> io::Result<Quiet> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        match interrupts {
            Interrupts::AsKey => now.local_modes.remove(LocalModes::ISIG),
            Interrupts::AsSignal => now.local_modes.insert(LocalModes::ISIG),
        }
        // What was typed ahead stays.
        tcsetattr(&stdin, OptionalActions::Now, &now)?;
        Ok(Quiet { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if io::stdin().is_terminal() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        }
    }
}

/// The last signal that came, as its place in [`NAMES`] plus one.
static LAST: AtomicU8 = AtomicU8::new(0);
const NAMES: [&str; 3] = ["SIGHUP", "SIGINT", "SIGTERM"];

/// Has signals noted from now on, so that none ends the program with the terminal changed. Outside a
/// runtime nothing can be noted.
pub(crate) fn watch() {
    static WATCHING: OnceLock<()> = OnceLock::new();
    if tokio::runtime::Handle::try_current().is_err() {
        return;
    }
    WATCHING.get_or_init(|| {
        let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()];
        for (number, kind) in (1_u8..).zip(kinds) {
            if let Ok(mut signals) = signal(kind) {
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        LAST.store(number, Ordering::SeqCst);
                    }
                });
            }
        }
    });
}

/// The signal that came, where it is one that ends the program. An interrupt that ended some work
/// before does not end the question after it.
pub(crate) fn ended_by() -> Option<&'static str> {
    let number = usize::from(LAST.load(Ordering::SeqCst));
    number.checked_sub(1).and_then(|index| NAMES.get(index)).copied()
}

/// Forgets an interrupt that was meant for the work before.
pub(super) fn forget_interrupt() {
    let _ = LAST.compare_exchange(2, 0, Ordering::SeqCst, Ordering::SeqCst);
}
