//! Replays a trace against memcached as `cachectl bench --trace --on-miss set` does
//! against other servers, and prints the share of the requests that were missed.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cached_tests::policies::numbered;
use clap::Parser;

/// Replays a trace against memcached.
#[derive(Debug, Parser)]
struct Arguments {
    /// `host:port`.
    server: String,
    /// The trace, packed.
    trace: PathBuf,
    /// Keys for each key of the trace, read together.
    #[arg(long, default_value_t = 1)]
    copies: u32,
    /// Lengths of values, `32-200`.
    #[arg(long, default_value = "32-200")]
    sizes: String,
}

struct Server {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
    line: String,
}

impl Server {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).context(address.to_owned())?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream.try_clone()?),
            writer: BufWriter::new(stream),
            line: String::new(),
        })
    }

    fn read_line(&mut self) -> Result<&str> {
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(self.line.trim_end())
    }

    /// Which of these keys are not there.
    fn missing(&mut self, keys: &[String]) -> Result<Vec<usize>> {
        writeln!(self.writer, "get {}\r", keys.join(" "))?;
        self.writer.flush()?;
        // Values come in the order of the keys; those that are not there are left out.
        let mut missing = Vec::new();
        let mut next = 0;
        loop {
            let line = self.read_line()?;
            if line == "END" {
                missing.extend(next..keys.len());
                return Ok(missing);
            }
            let mut words = line.split(' ');
            let (Some("VALUE"), Some(key)) = (words.next(), words.next()) else {
                bail!("memcached answered {line:?}");
            };
            let length: u64 = words.nth(1).context("no length")?.parse()?;
            let found = keys[next..].iter().position(|it| it == key);
            let found = next + found.context("a key that was not asked for")?;
            missing.extend(next..found);
            next = found + 1;
            let mut value = self.reader.by_ref().take(length + 2);
            std::io::copy(&mut value, &mut std::io::sink())?;
        }
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        write!(self.writer, "set {key} 0 0 {} noreply\r\n", value.len())?;
        self.writer.write_all(value)?;
        Ok(self.writer.write_all(b"\r\n")?)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (min, max) = arguments.sizes.split_once('-').context("--sizes 32-200")?;
    let (min, max): (u64, u64) = (min.parse()?, max.parse()?);
    let mut text = String::new();
    let file = std::fs::File::open(&arguments.trace)?;
    xz2::read::XzDecoder::new(file).read_to_string(&mut text)?;
    let keys: Vec<String> = text.lines().map(str::to_owned).collect();
    let (trace, _) = numbered(&keys);
    let value = vec![b'v'; max as usize];

    let mut server = Server::connect(&arguments.server)?;
    let mut misses = 0_u32;
    for number in &trace {
        let name = |copy| format!("bench:{number}#{copy}");
        let keys: Vec<String> = (0..arguments.copies).map(name).collect();
        for copy in server.missing(&keys)? {
            misses += 1;
            let hash = hash_of(keys[copy].as_bytes());
            let length = min + hash % (max - min + 1);
            server.set(&keys[copy], &value[..length as usize])?;
        }
    }
    server.writer.flush()?;
    let requests = trace.len() as f64 * f64::from(arguments.copies);
    print!("{:.4}", f64::from(misses) / requests);
    Ok(())
}

/// A length of its own for each key, the same each time (FNV-1a).
fn hash_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
