//! The floor for `tools/bench resp` and `runtime`: a bare loop over sockets that answers
//! Redis clients without having looked anything up, on one runtime or on one per core.

use std::net::SocketAddr;
use std::thread;

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    /// One runtime, whose workers steal tasks from each other.
    Shared,
    /// A runtime of one thread on each core, with a listener of its own (SO_REUSEPORT).
    PerCore,
}

#[derive(Parser)]
struct Args {
    #[arg(long, value_enum, default_value = "shared")]
    shape: Shape,
    /// Threads that carry connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let first = listen("127.0.0.1:0".parse()?)?;
    let address = first.local_addr()?;
    println!("floor listening on {address} ");
    match args.shape {
        Shape::Shared => {
            let runtime = Builder::new_multi_thread()
                .worker_threads(args.threads)
                .enable_io()
                .build()?;
            runtime.block_on(async { runtime.spawn(accept(first)).await? })
        }
        Shape::PerCore => {
            let more = (1..args.threads).map(|_| listen(address));
            let listeners = std::iter::once(Ok(first)).chain(more);
            let threads: Vec<_> = listeners
                .map(|listener| anyhow::Ok(thread::spawn(move || alone(listener?))))
                .collect::<anyhow::Result<_>>()?;
            for thread in threads {
                thread.join().expect("a runtime panicked")?;
            }
            Ok(())
        }
    }
}

fn alone(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(accept(listener))
}

fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    // tokio's sockets are registered with a runtime, and this one only until it is known
    // which runtime shall have it.
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket.listen(1024)?.into_std()?)
}

async fn accept(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) -> Option<()> {
    let value = [b"$100\r\n".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    let mut input = Vec::with_capacity(16 << 10);
    let mut output = Vec::with_capacity(16 << 10);
    loop {
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
        let mut read = 0;
        while let Some(command) = command(&input[read..])? {
            match command.name {
                b"GET" | b"get" => output.extend_from_slice(&value),
                b"PING" | b"ping" => output.extend_from_slice(b"+PONG\r\n"),
                b"CONFIG" => output.extend_from_slice(b"*0\r\n"),
                _ => output.extend_from_slice(b"+OK\r\n"),
            }
            read += command.bytes;
        }
        input.drain(..read);
        stream.write_all(&output).await.ok()?;
        output.clear();
    }
}

struct Command<'a> {
    name: &'a [u8],
    bytes: usize,
}

/// The first command, an array of strings, once all of it is there; `None`: this is none.
fn command(input: &[u8]) -> Option<Option<Command<'_>>> {
    let mut at = 0;
    let Some(parts) = number(input, &mut at, b'*')? else {
        return Some(None);
    };
    let mut name: &[u8] = b"";
    for part in 0..parts {
        let Some(bytes) = number(input, &mut at, b'$')? else {
            return Some(None);
        };
        let Some(word) = input.get(at..at + bytes + 2) else {
            return Some(None);
        };
        if part == 0 {
            name = &word[..bytes];
        }
        at += bytes + 2;
    }
    Some(Some(Command { name, bytes: at }))
}

/// The number of a line that begins so; the inner `None`: the line has no end yet.
fn number(input: &[u8], at: &mut usize, sign: u8) -> Option<Option<usize>> {
    let Some(rest) = input.get(*at..).filter(|rest| !rest.is_empty()) else {
        return Some(None);
    };
    if rest[0] != sign {
        return None;
    }
    let mut number = 0_usize;
    for (offset, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => {
                number = number
                    .checked_mul(10)?
                    .checked_add(usize::from(byte - b'0'))?
            }
            b'\r' => {
                *at += offset + 2;
                return Some(Some(number));
            }
            _ => return None,
        }
    }
    Some(None)
}
