//! A network of its own for one worker, whose link can go down: the worker's connections go silent, as after a pulled plug.
//!
//! A thread leaves for a new network namespace; listeners made there and processes started there belong to it. The ports
//! of the set are relayed out of it, on the same numbers, so that the driver finds the members where the set says.

use crate::support::process::Process;
use nix::sched::{CloneFlags, unshare};
use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

type Order = Box<dyn FnOnce() + Send>;

/// The namespace, as long as this value lives.
pub struct Island {
    orders: Sender<Order>,
}

impl Island {
    /// Makes one that reaches these ports of 127.0.0.1 and nothing else; an error says why that can't be had here.
    pub fn found(ports: &[u16]) -> Result<Self, String> {
        let (orders, inbox): (Sender<Order>, Receiver<Order>) = mpsc::channel();
        let (made, listeners) = mpsc::channel();
        let ports = ports.to_vec();
        thread::spawn(move || {
            let settled = settle(&ports);
            let is_usable = settled.is_ok();
            let _ = made.send(settled);
            while let (true, Ok(order)) = (is_usable, inbox.recv()) {
                order();
            }
        });
        let listeners = listeners.recv().map_err(|error| error.to_string())??;
        for listener in listeners {
            // Threads begin in the namespace of the thread that starts them: these are outside.
            thread::spawn(move || relay(&listener));
        }
        Ok(Self { orders })
    }

    /// Starts a process there.
    pub fn spawn(&self, mut command: Command) -> Process {
        self.there(move || Process::spawn(&mut command))
    }

    /// Takes the link down, or up again.
    pub fn link(&self, state: &'static str) -> Result<(), String> {
        self.there(move || link(state))
    }

    fn there<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let order = Box::new(move || {
            let _ = done.send(work());
        });
        self.orders.send(order).expect("the thread lives as long as the island");
        result.recv().expect("it does what it is told")
    }
}

fn settle(ports: &[u16]) -> Result<Vec<TcpListener>, String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| format!("no network namespace: {errno}"))?;
    link("up")?;
    let listen = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).map_err(|error| format!("port {port}: {error}"));
    ports.iter().map(listen).collect()
}

fn link(state: &str) -> Result<(), String> {
    let set = Command::new("ip").args(["link", "set", "lo", state]).output();
    let output = set.map_err(|error| format!("no `ip` (package iproute2): {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn relay(listener: &TcpListener) {
    for inner in listener.incoming().map_while(Result::ok) {
        let port = listener.local_addr().map(|address| address.port());
        let Ok(outer) = port.and_then(|port| TcpStream::connect(("127.0.0.1", port))) else { continue };
        for (from, to) in [(inner.try_clone(), outer.try_clone()), (Ok(outer), Ok(inner))] {
            if let (Ok(from), Ok(to)) = (from, to) {
                thread::spawn(move || pass(&from, &to));
            }
        }
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
