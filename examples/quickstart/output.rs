//! Where the lines go: to standard output, or to a test that reads them.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// Takes lines; clones write to the same place.
#[derive(Clone)]
pub(crate) struct Output {
    sink: Arc<Mutex<dyn Write + Send>>,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn standard() -> Self {
        Self {
            sink: Arc::new(Mutex::new(io::stdout())),
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Plain lines, as where there is no terminal.
    #[cfg(test)]
    pub(crate) fn plain(sink: impl Write + Send + 'static) -> Self {
        Self {
            sink: Arc::new(Mutex::new(sink)),
            is_terminal: false,
        }
    }

    /// Whether somebody looks at it live, so that a picture can be drawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(crate) fn line(&self, line: impl fmt::Display) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads may have had enough (`| head`): that is no reason to stop.
        let _ = writeln!(sink, "{line}").and_then(|()| sink.flush());
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("is_terminal", &self.is_terminal)
            .finish_non_exhaustive()
    }
}
