//! A network between clients and a broker that does to chosen requests what networks do: it brings
//! them late, twice, or not at all. It understands the head of a request and nothing of its body
//! (but for [`Fault::Pretend`]); everything else passes as it is.
//!
//! A broker that is reached through it must say so to its clients: [`super::Options::behind`].
//! Clients that know the broker's own port are not affected. To add a fault: a variant of
//! [`Fault`] and an arm of `Link::pass`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `AddPartitionsToTxn` of the Kafka protocol.
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
/// `AddOffsetsToTxn`.
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
/// `EndTxn`.
pub const END_TXN: i16 = 26;
/// `TxnOffsetCommit`.
pub const TXN_OFFSET_COMMIT: i16 = 28;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked.
    pub api: i16,
    /// Who asks.
    pub client: String,
    correlation: [u8; 4],
    body: usize,
}

impl Request {
    /// Of a frame without its length; `None` if it is no request.
    fn read(frame: &[u8]) -> Option<Request> {
        let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        let correlation = frame.get(4..8)?.try_into().ok()?;
        let length = usize::try_from(short(8)?).unwrap_or(0);
        let client = String::from_utf8_lossy(frame.get(10..10 + length)?).into_owned();
        Some(Request { api: short(0)?, client, correlation, body: 10 + length })
    }
}

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It waits, and so does everything behind it.
    Slow(Duration),
    /// Its client loses the connection; the broker gets it this much later.
    Late(Duration),
    /// The connection is lost before the broker has it.
    Lost,
    /// The connection is lost once the broker has answered.
    Unanswered,
    /// The broker never gets it and nobody says so: the connection stays.
    Swallowed,
    /// The broker gets it twice, the client one answer.
    Twice,
    /// The broker never gets it; the client is told that it is done. Only for version 0 of
    /// `AddPartitionsToTxn` and `AddOffsetsToTxn`.
    Pretend,
}

type Rule = Box<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

struct Shared {
    target: AtomicU16,
    rule: Mutex<Rule>,
    fired: Mutex<Vec<Fault>>,
    ended: AtomicBool,
    /// Ends every wait when it is dropped.
    links: Mutex<Vec<(TcpStream, Sender<()>)>>,
}

/// See the module. Ends when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens; [`Proxy::lead_to`] says where it leads.
    pub fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(0),
            rule: Mutex::new(Box::new(|_| None)),
            fired: Mutex::default(),
            ended: AtomicBool::new(false),
            links: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &of_thread));
        Proxy { port, shared }
    }

    /// Where clients find it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, for `kafka.brokers`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Leads to this port of the same host from now on.
    pub fn lead_to(&self, port: u16) {
        self.shared.target.store(port, Ordering::SeqCst);
    }

    /// Which requests suffer from now on, and how.
    pub fn suffer(&self, rule: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// From now on nothing suffers; what is under way goes on.
    pub fn heal(&self) {
        self.suffer(|_| None);
    }

    /// What was done so far.
    pub fn fired(&self) -> Vec<Fault> {
        self.shared.fired.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for (stream, _) in self.shared.links.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(client), shared) = (client, Arc::clone(shared)) else { continue };
        std::thread::spawn(move || {
            // A broker that is away refuses us, and we its client.
            let Ok(broker) = TcpStream::connect(("127.0.0.1", shared.target.load(Ordering::SeqCst))) else {
                return;
            };
            for stream in [&client, &broker] {
                stream.set_nodelay(true).unwrap();
            }
            let (end, ended) = channel();
            shared.links.lock().unwrap().push((client.try_clone().unwrap(), end));
            let answers = Answers::default();
            let link = Link { client, broker: Mutex::new(broker), shared, answers, ended: Mutex::new(ended) };
            link.run();
        });
    }
}

/// What is special about answers that are still to come.
#[derive(Default)]
struct Answers {
    /// To be dropped: the second ones.
    surplus: Mutex<Vec<[u8; 4]>>,
    /// With these the connection ends.
    last: Mutex<Vec<[u8; 4]>>,
}

/// One connection.
struct Link {
    client: TcpStream,
    broker: Mutex<TcpStream>,
    shared: Arc<Shared>,
    answers: Answers,
    ended: Mutex<Receiver<()>>,
}

impl Link {
    fn run(self) {
        let link = Arc::new(self);
        let back = Arc::clone(&link);
        let from_broker = link.broker.lock().unwrap().try_clone().unwrap();
        let answering = std::thread::spawn(move || back.answer(from_broker));
        let mut from_client = link.client.try_clone().unwrap();
        let mut late = false;
        while let Some(frame) = read(&mut from_client) {
            match link.pass(&frame) {
                Passed::On => {}
                Passed::End => break,
                Passed::Late => {
                    late = true;
                    break;
                }
            }
        }
        drop(link.client.shutdown(Shutdown::Both));
        if !late {
            drop(link.broker.lock().unwrap().shutdown(Shutdown::Both));
        }
        drop(answering.join());
    }

    /// Passes a request on, or does to it what it must suffer.
    fn pass(&self, frame: &[u8]) -> Passed {
        let request = Request::read(frame);
        let rule = self.shared.rule.lock().unwrap();
        let fault = request.as_ref().and_then(&*rule);
        drop(rule);
        let (Some(request), Some(fault)) = (request, fault) else { return self.send(frame) };
        self.shared.fired.lock().unwrap().push(fault);
        match fault {
            Fault::Slow(time) => {
                self.wait(time);
                self.send(frame)
            }
            Fault::Late(time) => {
                drop(self.client.shutdown(Shutdown::Both));
                self.wait(time);
                self.send(frame);
                // The broker drops a connection whose other end is gone, with what it has not read.
                Passed::Late
            }
            Fault::Lost => Passed::End,
            Fault::Swallowed => Passed::On,
            Fault::Unanswered => {
                self.answers.last.lock().unwrap().push(request.correlation);
                self.send(frame)
            }
            Fault::Twice => {
                self.answers.surplus.lock().unwrap().push(request.correlation);
                self.send(frame);
                self.send(frame)
            }
            Fault::Pretend => self.pretend(&request, &frame[request.body..]),
        }
    }

    fn wait(&self, time: Duration) {
        let ended = self.ended.lock().unwrap().recv_timeout(time);
        assert!(matches!(ended, Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)));
    }

    fn send(&self, frame: &[u8]) -> Passed {
        match write(&mut *self.broker.lock().unwrap(), frame) {
            Ok(()) => Passed::On,
            Err(_) => Passed::End,
        }
    }

    /// Answers in the place of the broker.
    fn pretend(&self, request: &Request, body: &[u8]) -> Passed {
        let mut answer = request.correlation.to_vec();
        // Not throttled.
        answer.extend([0; 4]);
        match request.api {
            ADD_OFFSETS_TO_TXN => answer.extend([0; 2]),
            ADD_PARTITIONS_TO_TXN => answer.extend(added(body)),
            api => panic!("an answer to {api} cannot be made up"),
        }
        match write(&mut &self.client, &answer) {
            Ok(()) => Passed::On,
            Err(_) => Passed::End,
        }
    }

    fn answer(&self, mut from_broker: TcpStream) {
        while let Some(frame) = read(&mut from_broker) {
            let take = |list: &Mutex<Vec<[u8; 4]>>| {
                let mut list = list.lock().unwrap();
                let found = list.iter().position(|correlation| frame.starts_with(correlation));
                found.map(|found| list.swap_remove(found)).is_some()
            };
            if take(&self.answers.last) {
                break;
            }
            // Of two answers the first one is dropped: the client sees what the second one says.
            if !take(&self.answers.surplus) && write(&mut &self.client, &frame).is_err() {
                break;
            }
        }
        drop(self.client.shutdown(Shutdown::Both));
    }
}

/// What became of a request.
enum Passed {
    On,
    End,
    /// The client is gone, the broker is still to act.
    Late,
}

/// The partitions of `AddPartitionsToTxn`, version 0, each without an error.
fn added(body: &[u8]) -> Vec<u8> {
    let short = |at: usize| usize::from(u16::from_be_bytes(body[at..at + 2].try_into().unwrap()));
    let long = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    // Behind the transactional id stand producer id and epoch.
    let mut at = 2 + short(0) + 8 + 2;
    let topics = long(at);
    let mut answer = body[at..at + 4].to_vec();
    at += 4;
    for _ in 0..topics {
        let name = 2 + short(at);
        answer.extend(&body[at..at + name + 4]);
        at += name;
        let partitions = long(at);
        at += 4;
        for _ in 0..partitions {
            answer.extend(&body[at..at + 4]);
            answer.extend([0; 2]);
            at += 4;
        }
    }
    answer
}

/// The next frame, without its length; `None` at the end of the connection.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    exactly(stream, &mut length)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).ok()?];
    exactly(stream, &mut frame)?;
    Some(frame)
}

fn exactly(stream: &mut TcpStream, room: &mut [u8]) -> Option<()> {
    match stream.read_exact(room) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == ErrorKind::Interrupted => exactly(stream, room),
        Err(_) => None,
    }
}

fn write(stream: &mut impl Write, frame: &[u8]) -> std::io::Result<()> {
    let mut whole = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    whole.extend(frame);
    stream.write_all(&whole)
}
