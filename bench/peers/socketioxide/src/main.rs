//! The chat of Socket.IO in Rust, on one thread: `join` and `publish` come in, `message` goes to the room.

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("the port is the argument");
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("join", async |socket: SocketRef, Data(room): Data<String>, ack: AckSender| {
            socket.join(room);
            // Who has gone needs no answer.
            let _ = ack.send(&());
        });
        socket.on("publish", async |socket: SocketRef, Data(message): Data<Value>| {
            for room in socket.rooms() {
                let _ = socket.within(room).emit("message", &message).await;
            }
        });
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    axum::serve(listener, axum::Router::new().layer(layer)).await.expect("it serves");
}
