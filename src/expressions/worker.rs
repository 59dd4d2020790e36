//! The process that expressions run in. An expression can keep the interpreter inside of one long native operation, or
//! use up memory in a way that the library cannot give back; a process can be ended from outside whatever it does.
//!
//! Work and results go over standard input and output, each as a length of four bytes and JSON.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    pin::pin,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{Fault, MAX_MS, Work, interpreter};

/// The command that makes the server's program a worker.
pub const COMMAND: &str = "evaluate-expressions";
/// What a worker may work beyond the interpreter's own limit before it is ended.
const GRACE: Duration = Duration::from_millis(150);
/// How long a worker may take that gets no core to work on.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of one message.
const MAX_MESSAGE: usize = 64 << 20;

/// The life of a worker: one piece of work after the other, until there is no more.
///
/// # Errors
/// When a message cannot be read or written.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let mut message = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut message)?;
        let result = decode::<Work>(&message)?;
        output.write_all(&encode(&interpreter::evaluate(&result))?)?;
        output.flush()?;
    }
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length as usize <= MAX_MESSAGE);
    let length = length.ok_or_else(|| io::Error::other("a message is too long"))?;
    Ok([length.to_le_bytes().as_slice(), &json].concat())
}

fn decode<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    // Values that were bounded before may nest as deep as the reader allows.
    Ok(serde_json::from_slice(json)?)
}

/// Workers that wait for work.
pub(super) struct Workers {
    program: PathBuf,
    idle: Mutex<Vec<Worker>>,
}

struct Worker {
    /// Ended when it is dropped.
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Workers {
    pub fn new(program: PathBuf) -> Self {
        Self { program, idle: Mutex::default() }
    }

    /// Has a worker evaluate. A worker that reached a limit is not used again.
    pub async fn evaluate(&self, work: &Work) -> io::Result<Result<Value, Fault>> {
        let message = encode(work)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.start()?,
        };
        match worker.answer_in_time(&message).await {
            Ok(Some(result)) => {
                if !matches!(result, Err(Fault::Time(_) | Fault::Memory(_))) {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
                }
                Ok(result)
            }
            Ok(None) => Ok(Err(Fault::Time(first_expression(work)))),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a worker for expressions ended");
                Ok(Err(Fault::Memory(first_expression(work))))
            }
        }
    }

    fn start(&self) -> io::Result<Worker> {
        let mut process = Command::new(&self.program)
            .arg(COMMAND)
            // Nothing of ours goes along: no settings, no keys, no folder.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err(io::Error::other("no pipes")) };
        Ok(Worker { process, input, output })
    }
}

impl Worker {
    /// The answer; `None` where the worker has worked for as long as it may and has none.
    async fn answer_in_time(&mut self, message: &[u8]) -> io::Result<Option<Result<Value, Fault>>> {
        let limit = Duration::from_millis(MAX_MS) + GRACE;
        let process = self.process.id();
        let before = worked(process);
        let asked = Instant::now();
        let mut answer = pin!(self.answer(message));
        loop {
            if let Ok(answer) = tokio::time::timeout(limit, &mut answer).await {
                return answer.map(Some);
            }
            // On a busy machine it may not have had its turn.
            let is_late = worked(process).zip(before).is_none_or(|(now, before)| now.saturating_sub(before) >= limit);
            if is_late {
                return Ok(None);
            }
            if asked.elapsed() >= PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the worker got no core to work on"));
            }
        }
    }

    async fn answer(&mut self, message: &[u8]) -> io::Result<Result<Value, Fault>> {
        self.input.write_all(message).await?;
        self.input.flush().await?;
        let length = self.output.read_u32_le().await? as usize;
        if length > MAX_MESSAGE {
            return Err(io::Error::other("a message is too long"));
        }
        let mut answer = vec![0; length];
        self.output.read_exact(&mut answer).await?;
        decode(&answer)
    }
}

/// How long a process has worked so far, where the system tells.
fn worked(process: Option<u32>) -> Option<Duration> {
    let told = std::fs::read_to_string(format!("/proc/{}/schedstat", process?)).ok()?;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn first_expression(work: &Work) -> String {
    use crate::engine::plan::template::{Piece, for_each_text, pieces};
    let mut first = None;
    for_each_text(&work.template, &mut |text| {
        if first.is_none()
            && let Ok(pieces) = pieces(text)
        {
            first = pieces
                .iter()
                .find_map(|piece| if let Piece::Expression(code) = piece { Some((*code).to_owned()) } else { None });
        }
    });
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_worker_answers_one_piece_of_work_after_the_other() {
        let work = |template: &str| Work {
            template: json!(template),
            scope: serde_json::Map::new(),
            now: "2026-11-20T14:30:00Z".parse().unwrap(),
            seed: 1,
        };
        let input = [encode(&work("{{ 1 + 1 }}")).unwrap(), encode(&work("{{ nothing }}")).unwrap()].concat();
        let mut output = Vec::new();
        serve(input.as_slice(), &mut output).unwrap();
        let first = u32::from_le_bytes(output[..4].try_into().unwrap()) as usize;
        assert_eq!(decode::<Result<Value, Fault>>(&output[4..4 + first]).unwrap(), Ok(json!(2)));
        let second: Result<Value, Fault> = decode(&output[8 + first..]).unwrap();
        assert!(matches!(second, Err(Fault::Failed { .. })));
        assert!(serve([1, 0, 0].as_slice(), Vec::new()).is_ok());
        assert!(serve([9, 0, 0, 0, 1].as_slice(), Vec::new()).is_err());
    }
}
