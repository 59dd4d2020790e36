//! A command in a sandbox made by bubblewrap: its own namespaces for processes, network, users and all else, the machine's
//! programs read-only, folders in memory with a limit, nothing of our environment. No file of this machine is written:
//! files go in and come out over a socket.

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Command,
};

use super::archive;
use crate::run_files::FilePath;

/// The most bytes that are kept of what a command writes to each of its outputs.
const MAX_OUTPUT: usize = 64 << 10;
/// The most bytes that may come back as files, with all that tar needs around them.
const MAX_ARCHIVE: u64 = 24 << 20;
/// Nobody, on every Linux: a server that runs as root does not run commands as root.
const NOBODY: u32 = 65_534;

/// What goes on inside, by /bin/sh: the files are taken in; the command runs under limits; what it left running is ended;
/// its exit code and the files go back. `$1` is the command, 3 the socket.
const INSIDE: &str = r#"
exec 3<&0 </dev/null
tar -x -B -f - -C / <&3 || exit 1
(
    ulimit -c 0; ulimit -f 32768; ulimit -n 256; ulimit -t 60; ulimit -v 1048576
    ulimit -p 128 2>/dev/null || ulimit -u 128 || exit 126
    exec /bin/sh -c "$1" </run/stdin 3<&-
)
code=$?
kill -9 -1 2>/dev/null
echo "$code" >&3
tar -c -f - -C /work . >&3
"#;

/// What a command did.
#[derive(Debug)]
pub(super) struct Done {
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Whether an output was longer than what is kept.
    pub truncated: bool,
    pub files: BTreeMap<FilePath, Vec<u8>>,
    pub left_out: Vec<String>,
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The time was up. All processes of the command are gone.
    Timeout,
    /// It has left more than can be taken.
    TooLarge,
    /// The sandbox itself failed.
    Broken(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The command that makes the sandbox.
fn bubblewrap() -> Command {
    let mut command = Command::new("bwrap");
    command.env_clear().current_dir("/").kill_on_drop(true);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // Their own of everything: processes, network, IPC, host name, users; and no way to get rights or another sandbox.
    command.args(["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]);
    command.args(["--cap-drop", "ALL", "--hostname", "sandbox", "--uid", "1000", "--gid", "1000", "--clearenv"]);
    for (name, value) in [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/home/sandbox"), ("LANG", "C.UTF-8")] {
        command.args(["--setenv", name, value]);
    }
    command.args(["--ro-bind", "/usr", "/usr"]);
    for folder in ["/bin", "/sbin", "/lib", "/lib32", "/lib64"] {
        if let Ok(target) = std::fs::read_link(folder) {
            command.arg("--symlink").arg(target).arg(folder);
        } else if Path::new(folder).is_dir() {
            command.args(["--ro-bind", folder, folder]);
        }
    }
    for name in ["/etc/alternatives", "/etc/ld.so.cache"] {
        command.args(["--ro-bind-try", name, name]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    for (folder, bytes) in [
        ("/dev/shm", "16777216"),
        ("/home/sandbox", "16777216"),
        ("/tmp", "67108864"),
        ("/run", "2097152"),
        ("/work", "16777216"),
    ] {
        command.args(["--size", bytes, "--tmpfs", folder]);
    }
    // What is left over is read-only: no memory can be filled by writing beside the limits.
    command.args(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]);
    command
}

/// Runs a command.
///
/// # Errors
/// [`Fault`]. Dropping the future ends the command and everything that it has started.
pub(super) async fn run(
    command: &str,
    stdin: &str,
    files: &BTreeMap<FilePath, Vec<u8>>,
    timeout: Duration,
) -> Result<Done, Fault> {
    let packed = archive::pack(files, stdin.as_bytes())?;
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut child = bubblewrap()
        .args(["/bin/sh", "-c", INSIDE, "sh", command])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Fault::Broken("no pipes".to_owned()));
    };
    let (mut back, mut there) = UnixStream::from_std(ours)?.into_split();
    let send = async {
        // Fails where it ends before it has read all; then it says why.
        let _ = there.write_all(&packed).await;
        let _ = there.shutdown().await;
    };
    let receive = async {
        let mut bytes = Vec::new();
        (&mut back).take(MAX_ARCHIVE + 1).read_to_end(&mut bytes).await?;
        Ok::<_, io::Error>(bytes)
    };
    let whole = Box::pin(async { tokio::join!(send, receive, head(stdout), head(stderr)) });
    let Ok(((), received, (stdout, more_out), (stderr, more_err))) = tokio::time::timeout(timeout, whole).await else {
        // Ends bubblewrap, with it the first process inside, and with that one the kernel ends all the others.
        drop(child.kill().await);
        return Err(Fault::Timeout);
    };
    let received = received?;
    drop(child.kill().await);
    if received.len() as u64 > MAX_ARCHIVE {
        return Err(Fault::TooLarge);
    }
    let (code, packed) = first_line(&received).ok_or_else(|| {
        Fault::Broken(stderr.lines().next().unwrap_or("it ended without a result").chars().take(200).collect())
    })?;
    let found = archive::unpack(packed)?;
    Ok(Done {
        exit_code: code,
        stdout,
        stderr,
        truncated: more_out || more_err,
        files: found.files,
        left_out: found.left_out,
    })
}

/// The number on the first line, and what comes after.
fn first_line(received: &[u8]) -> Option<(i32, &[u8])> {
    let end = received.iter().position(|byte| *byte == b'\n')?;
    let code = std::str::from_utf8(&received[..end]).ok()?.parse().ok()?;
    Some((code, &received[end + 1..]))
}

/// The beginning of an output, and whether there was more. All of it is read, so that the command is never held up.
async fn head(mut from: impl AsyncRead + Unpin) -> (String, bool) {
    let (mut kept, mut more, mut piece) = (Vec::new(), false, [0; 8 << 10]);
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&piece[..room]);
        more |= room < count;
    }
    (String::from_utf8_lossy(&kept).into_owned(), more)
}
