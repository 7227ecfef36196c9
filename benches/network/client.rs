//! What is said between the server outside and the client inside, and how long it takes.

use crate::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 1 << 17;
/// A small request, and as long an answer.
const SMALL: usize = 64;

/// What the client asks for.
#[derive(Clone, Copy)]
pub enum Task {
    /// So many MiB.
    In,
    /// To be heard of so many.
    Out,
    /// So many small answers.
    Requests,
    /// The same, with a connection each.
    Connections,
}

impl Task {
    const ALL: [(&str, Self); 4] =
        [("in", Self::In), ("out", Self::Out), ("requests", Self::Requests), ("connections", Self::Connections)];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// Serves for ever: the first byte says what.
pub fn answer(listener: TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let _ = serve_one(stream);
        });
    }
}

fn serve_one(mut stream: TcpStream) -> std::io::Result<()> {
    let mut what = [0];
    stream.read_exact(&mut what)?;
    stream.set_nodelay(true)?;
    let mut block = vec![0; BLOCK];
    match &what {
        b"i" => {
            let mut count = [0; 8];
            stream.read_exact(&mut count)?;
            for _ in 0..u64::from_ne_bytes(count) << 20 >> BLOCK.ilog2() {
                stream.write_all(&block)?;
            }
        }
        b"o" => {
            while stream.read(&mut block)? > 0 {}
            stream.write_all(b"heard")?;
        }
        _ => {
            while stream.read_exact(&mut block[..SMALL]).is_ok() {
                stream.write_all(&block[..SMALL])?;
            }
        }
    }
    Ok(())
}

/// Serves at a port of the loopback inside.
pub fn serve(port: &str) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    println!("ready");
    answer(listener);
    Ok(())
}

/// Does one task and prints how many seconds it took.
pub fn run(host: &str, port: &str, task: &str, count: &str) -> Result<()> {
    let (_, task) = Task::ALL.iter().find(|(word, _)| *word == task).ok_or("no such task")?;
    println!("{}", time((host, port.parse()?), *task, count.parse()?)?.as_secs_f64());
    Ok(())
}

/// The time of one task.
pub fn time(at: (&str, u16), task: Task, count: usize) -> Result<Duration> {
    let connect = || -> Result<TcpStream> {
        let stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut block = vec![0; BLOCK];
    let start = Instant::now();
    match task {
        Task::In => {
            let mut stream = connect()?;
            stream.write_all(b"i")?;
            stream.write_all(&(count as u64).to_ne_bytes())?;
            let mut heard = 0;
            loop {
                match stream.read(&mut block)? {
                    0 => break,
                    read => heard += read,
                }
            }
            if heard != count << 20 {
                return Err(format!("{heard} bytes came of {count} MiB").into());
            }
        }
        Task::Out => {
            let mut stream = connect()?;
            stream.write_all(b"o")?;
            for _ in 0..count << 20 >> BLOCK.ilog2() {
                stream.write_all(&block)?;
            }
            stream.shutdown(Shutdown::Write)?;
            stream.read_exact(&mut block[..5])?;
        }
        Task::Requests => {
            let mut stream = connect()?;
            stream.write_all(b"r")?;
            for _ in 0..count {
                stream.write_all(&block[..SMALL])?;
                stream.read_exact(&mut block[..SMALL])?;
            }
        }
        Task::Connections => {
            for _ in 0..count {
                let mut stream = connect()?;
                stream.write_all(b"r")?;
                stream.write_all(&block[..SMALL])?;
                stream.read_exact(&mut block[..SMALL])?;
            }
        }
    }
    Ok(start.elapsed())
}
