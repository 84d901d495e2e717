//! The API on a port of its own.

use crate::world::{TOKEN, World};
use lucid_client::Client;
use lucid_http::serve;
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

pub struct Served {
    pub world: World,
    pub address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<Result<(), lucid_http::ServeError>>,
}

impl Served {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other options.
    pub async fn start_with(change: impl FnOnce(&mut lucid_http::ApiOptions)) -> Self {
        let mut world = World::new().await;
        change(&mut world.state.options);
        Self::serve(world)
    }

    /// The same with so many places for streams.
    pub async fn start_with_places(places: usize) -> Self {
        let mut world = World::new().await;
        world.state.streams = lucid_http::Streams::with_places(places);
        Self::serve(world)
    }

    fn serve(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let running = tokio::spawn(serve(listener, world.state.clone(), None, stop.clone()));
        Self { world, address, stop, running }
    }

    /// Calls the API from a thread of its own, as a verb does.
    pub async fn call<T: Send + 'static>(&self, verb: impl FnOnce(Client) -> T + Send + 'static) -> T {
        let url = format!("http://{}", self.address);
        let call = move || verb(Client::new(&url).and_then(|client| client.with_token(TOKEN)).expect("a client"));
        spawn_blocking(call).await.expect("no panic")
    }

    pub async fn stopped(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.running).await;
        ended.expect("it stops in time").expect("no panic").expect("a clean stop");
    }
}
