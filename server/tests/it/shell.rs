//! The tool shell: what a command in the sandbox can do, and what it cannot. Where no sandbox can be made, it says so, and
//! so do these tests.

use std::time::{Duration, Instant};

use agentflow::engine::state::ErrorClass;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{office::Office, tools::Runner, world::World};

/// A run whose operator allows commands; nothing where this machine cannot make a sandbox.
async fn runner() -> Option<(World, Runner)> {
    let world = World::with(&[("AGENTFLOW_SHELL", "bubblewrap")]).await;
    let shell = world.deps().tools.catalog().into_iter().find(|tool| tool.name == "shell").unwrap();
    if let Some(why) = shell.set_up {
        // What people and models are told instead.
        println!("skipped: {why}");
        assert!(why.contains("bubblewrap"), "{why}");
        return None;
    }
    let office = Office::new(&world, "Acme").await;
    let run = office.start(office.simple().await, json!({})).await;
    let runner = Runner::of(&world, "acme").await.in_run(run);
    Some((world, runner))
}

async fn sh(runner: &Runner, command: &str) -> Value {
    runner.call("shell", json!({ "command": command, "timeout_s": 20 })).await.unwrap()
}

#[tokio::test]
async fn a_command_works_on_the_run_s_files() {
    let Some((_world, runner)) = runner().await else { return };
    for (step, path, content) in [("a", "in/a.txt", "2\n1\n"), ("b", "old.txt", "x"), ("c", "same.txt", "y")] {
        runner.at_step(step).call("file_write", json!({ "path": path, "content": content })).await.unwrap();
    }
    let command = "sort in/a.txt > sorted.txt; cat > given.txt; rm old.txt; echo out; echo err >&2; exit 3";
    let done = runner.call("shell", json!({ "command": command, "stdin": "from me" })).await.unwrap();
    assert_eq!((&done["exit_code"], &done["stdout"], &done["stderr"]), (&json!(3), &json!("out\n"), &json!("err\n")));
    assert_eq!((&done["written"], &done["deleted"]), (&json!(["given.txt", "sorted.txt"]), &json!(["old.txt"])));
    let read = runner.call("file_read", json!({ "path": "sorted.txt" })).await.unwrap();
    assert_eq!(read["content"], "1\n2\n");
    assert_eq!(runner.call("file_read", json!({ "path": "given.txt" })).await.unwrap()["content"], "from me");
    assert_eq!(runner.call("file_list", json!({})).await.unwrap()["files"].as_array().unwrap().len(), 4);
    // What cannot be a file of the run is left where it is.
    let odd =
        sh(&runner, "ln -s /etc/passwd link; mkfifo pipe; head -c 2000000 /dev/zero > large; echo fine > fine.txt")
            .await;
    assert_eq!(odd["written"], json!(["fine.txt"]));
    assert_eq!(odd["left_out"].as_array().unwrap().len(), 3, "{odd}");
    let long = sh(&runner, "yes | head -c 1000000").await;
    assert_eq!((long["stdout"].as_str().unwrap().len(), &long["truncated"]), (64 << 10, &json!(true)));
}

#[tokio::test]
async fn a_command_sees_nothing_of_this_machine_but_its_programs() {
    let Some((_world, runner)) = runner().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let out = |done: Value| done["stdout"].as_str().unwrap().to_owned();
    let reach =
        format!("bash -c 'exec 9<>/dev/tcp/127.0.0.1/{port}' && echo reached; cat /proc/net/route | tail -n +2");
    assert_eq!(out(sh(&runner, &reach).await), "", "there is no network");
    let near = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(near.is_err(), "nobody came");
    let environment = out(sh(&runner, "env | cut -d= -f1 | sort | tr '\\n' ' '").await);
    assert_eq!(environment, "HOME LANG PATH PWD ");
    let own = std::process::id();
    let seen = out(sh(
        &runner,
        &format!("ls / /etc /home /root /proc/{own} /tmp /run 2>&1; id -u; ls /proc | grep -c '^[0-9]'"),
    )
    .await);
    for hidden in ["passwd", "shadow", "hostname", "cargo"] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    assert!(seen.contains("\n1000\n"), "{seen}");
    let wrote =
        out(sh(&runner, "for d in / /usr /etc /bin /dev /proc/sys/kernel; do touch $d/x 2>/dev/null && echo $d; done")
            .await);
    assert_eq!(wrote, "", "nothing of the machine can be written");
    let up = out(sh(
        &runner,
        "unshare -U true 2>/dev/null && echo namespace; mount -t tmpfs x /tmp 2>/dev/null && echo mount; \
                              grep CapEff /proc/self/status",
    )
    .await);
    assert_eq!(up.trim(), "CapEff:\t0000000000000000");
    // The files' own channel is not the command's.
    assert_eq!(out(sh(&runner, "ls -l /proc/self/fd | grep -c socket").await).trim(), "0");
    assert_eq!(out(sh(&runner, "(echo x >&3) 2>/dev/null && echo open").await).trim(), "");
}

#[tokio::test]
async fn a_command_that_does_not_end_or_multiplies_or_fills_is_ended() {
    let Some((_world, runner)) = runner().await else { return };
    let mark = format!("{}.25", 40_000 + std::process::id() % 10_000);
    let started = Instant::now();
    let command = format!("setsid sleep {mark} & sleep {mark}");
    let error = runner.call("shell", json!({ "command": command, "timeout_s": 2 })).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Timeout, "shell.timeout"));
    assert!(started.elapsed() < Duration::from_secs(5));
    all_gone(&mark).await;
    // What a command leaves running does not outlive it, and does not hold it up.
    let started = Instant::now();
    sh(&runner, &format!("sleep {mark} & setsid sleep {mark} & echo started")).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    all_gone(&mark).await;
    // Whoever gives a call up ends it.
    let call = runner.call("shell", json!({ "command": format!("sleep {mark}"), "timeout_s": 20 }));
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    all_gone(&mark).await;
    let started = Instant::now();
    let bomb = runner.call(
        "shell",
        json!({ "command": "bomb() { bomb | bomb & }; bomb; sleep 2; echo still here", "timeout_s": 10 }),
    );
    let bomb = bomb.await;
    assert!(started.elapsed() < Duration::from_secs(15), "{bomb:?}");
    sh(&runner, "echo the machine goes on").await;
    for greedy in [
        "head -c 500000000 /dev/zero > /tmp/x",
        "head -c 500000000 /dev/zero > /dev/shm/x",
        "i=0; while head -c 1000000 /dev/zero > f$i; do i=$((i+1)); done; exit 1",
        "x=$(head -c 3000000000 /dev/zero | tr '\\0' x); test ${#x} -gt 2000000000",
    ] {
        let result = runner.call("shell", json!({ "command": greedy, "timeout_s": 20 })).await;
        let refused =
            result.as_ref().map_or_else(|error| error.code != "shell.unavailable", |done| done["exit_code"] != 0);
        assert!(refused, "{greedy}: {result:?}");
    }
}

/// No process has this word among its arguments any more, but for a moment: who is killed is not gone at once.
async fn all_gone(word: &str) {
    for _ in 0..100 {
        if processes(word) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} of them go on", processes(word));
}

/// How many processes of this machine have a word among their arguments.
fn processes(word: &str) -> usize {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy() != own)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
        .count()
}
