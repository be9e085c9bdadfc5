//! Puts a stream's events together to what the same call without a stream returns.

use std::collections::BTreeMap;

use crate::models::{Display, Event, ExceptionInfo, Output, OutputLine};

/// What a result holds of output at most, as the server's own do.
const LIMIT: usize = 8 * 1024 * 1024;

/// Lines in order of arrival across streams, values shown, and the exception.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub lines: Vec<OutputLine>,
    pub displays: Vec<Display>,
    pub exception: Option<ExceptionInfo>,
    pub truncated: bool,
    partial: BTreeMap<String, String>,
    size: usize,
}

impl Collector {
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Exception(exception) => self.exception = Some(exception.clone()),
            Event::Display(display) => {
                if self.fits(display.data.values().map(String::len).sum()) {
                    self.displays.push(display.clone());
                }
            }
            Event::Output(output) => {
                if self.fits(output.data.len()) {
                    self.add_output(output);
                }
            }
            Event::Dropped(_) | Event::File(_) => {}
        }
    }

    /// Makes lines of what never got a newline.
    pub fn finish(&mut self) {
        for (stream, text) in std::mem::take(&mut self.partial) {
            if !text.is_empty() {
                self.lines.push(OutputLine { stream, text });
            }
        }
    }

    fn fits(&mut self, size: usize) -> bool {
        self.size += size;
        self.truncated |= self.size > LIMIT;
        !self.truncated
    }

    fn add_output(&mut self, output: &Output) {
        let partial = self.partial.entry(output.stream.clone()).or_default();
        let text = output.text();
        let mut pieces = text.split('\n');
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            partial.push_str(piece);
            self.lines.push(OutputLine { stream: output.stream.clone(), text: std::mem::take(partial) });
        }
        partial.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stream: &str, text: &str) -> Event {
        Event::Output(Output { stream: stream.into(), data: text.into(), offset: None })
    }

    #[test]
    fn lines_are_put_together_in_order_of_arrival() {
        let mut collector = Collector::default();
        for (stream, text) in [("stdout", "a"), ("stderr", "x\n"), ("stdout", "b\n\nc"), ("stderr", "y")] {
            collector.add(&output(stream, text));
        }
        collector.finish();
        let lines: Vec<_> = collector.lines.iter().map(|line| (line.stream.as_str(), line.text.as_str())).collect();
        assert_eq!(lines, [("stderr", "x"), ("stdout", "ab"), ("stdout", ""), ("stderr", "y"), ("stdout", "c")]);
    }

    #[test]
    fn what_is_kept_of_output_is_bounded() {
        let mut collector = Collector::default();
        let piece = "x".repeat(LIMIT / 4);
        for _ in 0..10 {
            collector.add(&output("stdout", &piece));
        }
        collector.finish();
        assert!(collector.truncated);
        assert!(collector.lines.iter().map(|line| line.text.len()).sum::<usize>() <= LIMIT);
    }
}
