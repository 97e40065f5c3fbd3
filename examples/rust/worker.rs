//! A producer or a consumer of the demonstration. The Python and Node workers beside it do the
//! same, line for line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use oxmq::clock::{SystemClock, sleep};
use oxmq::{Client, ConsumeFrom, Delivery, Message};
use oxmq_examples::events::{is_handed_back_once, load_part};
use oxmq_examples::report::{Report, report};
use tokio::io::AsyncReadExt as _;

#[derive(Parser)]
enum Worker {
    /// Sends every `parts`-th event of a file.
    Produce {
        #[arg(long)]
        name_server: String,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        events: PathBuf,
        #[arg(long)]
        part: usize,
        #[arg(long)]
        parts: usize,
        /// Events a second.
        #[arg(long)]
        rate: u32,
    },
    /// Consumes until standard input ends.
    Consume {
        #[arg(long)]
        name_server: String,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        group: String,
        /// Hand one event in fifty back once.
        #[arg(long)]
        hand_back: bool,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    match Worker::parse() {
        Worker::Produce { name_server, topic, events, part, parts, rate } => {
            let client = Client::builder(name_server).connect().await?;
            let producer = client.producer("demo-producers").start().await?;
            report(&Report::Ready);
            let clock = SystemClock::new();
            for event in load_part(&events, part, parts)? {
                let message = Message::new(topic.as_str(), event.body).tag(event.tag);
                producer.send(message.key(&event.id)).await?;
                report(&Report::Sent { id: event.id });
                sleep(&clock, Duration::from_secs(1) / rate.max(1)).await;
            }
        }
        Worker::Consume { name_server, topic, group, hand_back } => {
            let client = Client::builder(name_server).connect().await?;
            let consumer = client.push_consumer(group).subscribe(topic, "*");
            let consumer = consumer.consume_from(ConsumeFrom::First).stream().await?;
            report(&Report::Ready);
            let mut stdin = tokio::io::stdin();
            let mut nothing = [0];
            loop {
                tokio::select! {
                    delivery = consumer.next() => match delivery {
                        Some(delivery) => handle(&delivery, hand_back).await?,
                        None => break,
                    },
                    _ = stdin.read(&mut nothing) => break,
                }
            }
            consumer.drain(Duration::from_secs(5)).await;
        }
    }
    report(&Report::Done);
    Ok(())
}

async fn handle(delivery: &Delivery, hand_back: bool) -> Result<(), oxmq::Error> {
    let id = delivery.keys().next().unwrap_or_default().to_owned();
    let redelivered = delivery.reconsume_times > 0;
    report(&Report::Received { id: id.clone(), redelivered });
    if hand_back && !redelivered && is_handed_back_once(&id) {
        delivery.nack(Duration::from_secs(1)).await?;
        report(&Report::HandedBack { id });
    } else {
        delivery.ack().await?;
        report(&Report::Acked { id });
    }
    Ok(())
}
