//! Signals sent to `kvtrace run` are meant for the program.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Forwards signals until stopped.
pub struct Relay {
    child: Arc<AtomicI32>,
    handle: signal_hook::iterator::Handle,
}

impl Relay {
    /// Catches the signals. Those that come before a child is there are lost with the run that was about to start.
    pub fn install() -> Result<Self, Failure> {
        // What is ignored here, by nohup for example, is ignored by the program too, as long as we install no handler.
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        let mut signals = SignalsInfo::<WithOrigin>::new(all.iter().filter(|signal| !is_ignored(**signal)))?;
        let handle = signals.handle();
        let child = Arc::new(AtomicI32::new(0));
        let target = Arc::clone(&child);
        std::thread::spawn(move || {
            for origin in signals.forever() {
                let child = target.load(Ordering::SeqCst);
                // A terminal sends Ctrl-C to the whole group: the program has it already.
                if child > 0 && origin.process.is_some() {
                    // SAFETY: a plain system call. The child is not reaped before the relay is stopped.
                    unsafe { libc::kill(child, origin.signal) };
                }
            }
        });
        Ok(Relay { child, handle })
    }

    /// Names the program.
    pub fn to(&self, child: u32) {
        self.child.store(child.try_into().unwrap_or(0), Ordering::SeqCst);
    }

    /// Forwards nothing more: the number may soon belong to another process.
    pub fn stop(&self) {
        self.child.store(0, Ordering::SeqCst);
        self.handle.close();
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeroes are a valid sigaction, and the call only fills it.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above; no new action is given.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), &mut old) } == 0;
    known && old.sa_sigaction == libc::SIG_IGN
}

/// Waits until `child` has ended, and leaves it to be reaped.
pub fn wait_unreaped(child: u32) {
    loop {
        // SAFETY: all zeroes are a valid siginfo_t, and the call only fills it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let rc = unsafe { libc::waitid(libc::P_PID, child, &mut info, libc::WEXITED | libc::WNOWAIT) };
        if rc == 0 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return;
        }
    }
}
