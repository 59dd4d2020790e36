//! From an event's commit to its readers: Server-Sent Events over real connections to the real router.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agentflow::{engine::store as engine, kernel::RunId};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    Options,
    effects::Manner,
    graphs,
    node::Node,
    place::{Place, said},
    report::{Aim, Report, Section, Times},
    watch::Watch,
};
use crate::{http::serve, shutdown::Stop, startup::Trouble, state::State};

/// Between two steps of the run that is read.
const PACE: Duration = Duration::from_millis(100);

/// When an event's number came.
type Came = (i64, Instant);

/// Measures 1, 100 and 1,000 readers of one run.
pub async fn measure(place: &Place, options: &Options, report: &mut Report) -> Result<(), Trouble> {
    let about = "from the commit of an event to its receipt by each reader of the run; all in this one process";
    let mut section = Section::new("stream", about);
    for readers in [1, 100, 1_000] {
        let readers = options.size(readers);
        let times = readers_of_one_run(place, readers, options.size(60)).await?;
        section.times(&format!("{readers} readers"), &times);
        if readers == 1_000 {
            section.aim("1000 readers, p99", times.at(0.99), "ms", Aim::AtMost(50.0));
        }
    }
    report.add(section);
    Ok(())
}

async fn readers_of_one_run(place: &Place, readers: usize, steps: usize) -> Result<Times, Trouble> {
    let config = (*place.state.config).clone();
    let stop = Stop::default();
    let mut state = State::new(config, place.connect().await?, stop.clone()).await?;
    let watch = Watch::new(state.deps.live.clone(), true);
    let node = Node::of(place, place.connect().await?, watch.clone(), Manner::After(PACE)).await?;
    // One process: the requests' engine is the node's.
    state.deps.engine = node.engine.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(lost)?;
    let address = listener.local_addr().map_err(lost)?;
    let server = tokio::spawn(async move { serve::serve(listener, crate::router(state), &stop).await });
    // It begins when all are there.
    let run = place.new_run(&graphs::chain(steps)?);
    let mut tx = place.db().tenant(place.org).await.map_err(said)?;
    engine::start_run(&mut tx, &run, None).await.map_err(said)?;
    super::store::hold(&mut tx, run.id).await?;
    tx.commit().await.map_err(said)?;
    let key: Arc<str> = place.key().await?.into();
    let mut reading = JoinSet::new();
    let (ready, mut there) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..readers {
        let (key, ready) = (key.clone(), ready.clone());
        reading.spawn(async move { read(address, run.id, &key, &ready).await });
        // In small groups: it is not the connecting that is measured.
        if number % 20 == 19 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    drop(ready);
    for _ in 0..readers {
        let patience = tokio::time::timeout(Duration::from_secs(60), there.recv()).await;
        patience.ok().flatten().ok_or_else(|| Trouble::new("A reader of the benchmark was not let in.", ""))?;
    }
    super::store::wake(place.db().engine(), place.org, &[run.id]).await?;
    node.engine.committed(place.org, run.id);
    let mut times = Vec::new();
    while let Some(came) = reading.join_next().await {
        let came = came.map_err(|error| Trouble::new(format!("A reader failed: {error}"), ""))?.map_err(lost)?;
        times.extend(came.into_iter().filter_map(|(seq, at)| Some(at - watch.committed_at(run.id, seq)?)));
    }
    node.stop().await;
    server.abort();
    Ok(Times::new(times))
}

/// Reads a run's stream to its end. Says when it was let in: with the event that is there already.
async fn read(
    address: std::net::SocketAddr,
    run: RunId,
    key: &str,
    ready: &tokio::sync::mpsc::UnboundedSender<()>,
) -> std::io::Result<Vec<Came>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /api/v1/runs/{run}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         accept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut came = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let Some(seq) = line.strip_prefix("id: ").and_then(|number| number.parse().ok()) else { continue };
        // Fails only when the benchmark has given up.
        if seq == 1 {
            let _ = ready.send(());
        }
        came.push((seq, Instant::now()));
    }
    Ok(came)
}

fn lost(error: std::io::Error) -> Trouble {
    Trouble::new(format!("A connection of the benchmark broke: {error}."), "Allow more open files (ulimit -n 8192).")
}
