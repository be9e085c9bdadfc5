//! Puts a stream's events together to what the same call without a stream returns.

use std::collections::HashMap;

use crate::models::{Display, Event, ExceptionInfo, OutputLine};

/// What a result holds of output at most, as the server's own do.
const LIMIT: usize = 8 * 1024 * 1024;

/// Lines of both streams, each where its first byte arrived.
#[derive(Debug, Default)]
struct Lines {
    all: Vec<OutputLine>,
    /// Of each stream the line that has not ended.
    open: HashMap<String, usize>,
}

impl Lines {
    /// A piece of output, cut anywhere.
    fn add(&mut self, stream: &str, text: &str) {
        let mut ended = text.split('\n');
        let rest = ended.next_back().unwrap_or_default();
        for part in ended {
            self.line(stream).push_str(part);
            self.open.remove(stream);
        }
        if !rest.is_empty() {
            self.line(stream).push_str(rest);
        }
    }

    /// A text of its own: it begins a line, and ends it.
    fn add_paragraph(&mut self, stream: &str, text: &str) {
        self.open.remove(stream);
        self.add(stream, text.strip_suffix('\n').unwrap_or(text));
        self.add(stream, "\n");
    }

    fn line(&mut self, stream: &str) -> &mut String {
        let next = self.all.len();
        let at = *self.open.entry(stream.to_owned()).or_insert(next);
        if at == next {
            self.all.push(OutputLine { stream: stream.to_owned(), text: String::new() });
        }
        &mut self.all[at].text
    }
}

/// Output, values shown, and the exception.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub displays: Vec<Display>,
    pub exception: Option<ExceptionInfo>,
    pub truncated: bool,
    lines: Lines,
    size: usize,
}

impl Collector {
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Exception(exception) => self.exception = Some(exception.clone()),
            Event::Display(display) => self.add_display(display),
            Event::Output(output) => {
                if self.fits(output.data.len()) {
                    self.lines.add(&output.stream, &output.text());
                }
            }
            Event::Dropped(_) | Event::File(_) => {}
        }
    }

    /// All lines. An exception is printed as the languages' own interpreters do: Node's writes it to stdout.
    pub fn take_lines(&mut self, language: &str) -> Vec<OutputLine> {
        let stream = if language == "node" { "stdout" } else { "stderr" };
        for line in self.exception.iter().flat_map(|exception| &exception.traceback) {
            self.lines.add_paragraph(stream, line);
        }
        std::mem::take(&mut self.lines).all
    }

    fn add_display(&mut self, display: &Display) {
        if !self.fits(display.data.values().map(String::len).sum()) {
            return;
        }
        if let Some(text) = display.text() {
            self.lines.add_paragraph("stdout", text);
        }
        self.displays.push(display.clone());
    }

    fn fits(&mut self, size: usize) -> bool {
        self.size += size;
        self.truncated |= self.size > LIMIT;
        !self.truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Output;

    fn output(stream: &str, text: &str) -> Event {
        Event::Output(Output { stream: stream.into(), data: text.into(), offset: None })
    }

    #[test]
    fn lines_are_put_together_in_order_of_arrival() {
        let mut collector = Collector::default();
        for (stream, text) in [("stdout", "a"), ("stderr", "x\n"), ("stdout", "b\n\nc"), ("stderr", "y")] {
            collector.add(&output(stream, text));
        }
        let lines = collector.take_lines("");
        let lines: Vec<_> = lines.iter().map(|line| (line.stream.as_str(), line.text.as_str())).collect();
        assert_eq!(lines, [("stdout", "ab"), ("stderr", "x"), ("stdout", ""), ("stdout", "c"), ("stderr", "y")]);
    }

    #[test]
    fn what_is_kept_of_output_is_bounded() {
        let mut collector = Collector::default();
        let piece = "x".repeat(LIMIT / 4);
        for _ in 0..10 {
            collector.add(&output("stdout", &piece));
        }
        assert!(collector.truncated);
        assert!(collector.take_lines("").iter().map(|line| line.text.len()).sum::<usize>() <= LIMIT);
    }
}
