//! Sends one message and consumes it. Stands in the README as it is here.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use oxmq::{Client, ConsumeFrom, Message};

#[tokio::main]
async fn main() -> Result<(), oxmq::Error> {
    let address = std::env::var("OXMQ_NAME_SERVER").unwrap_or("127.0.0.1:9876".to_owned());
    let client = Client::builder(address).connect().await?;

    let producer = client.producer("orders-service").start().await?;
    let message = Message::new("orders", "one espresso").tag("paid").key("order-42");
    println!("stored as {}", producer.send(message).await?.message_id);

    let consumer = client.push_consumer("billing").subscribe("orders", "paid || refunded");
    let consumer = consumer.consume_from(ConsumeFrom::First).stream().await?;
    if let Some(delivery) = consumer.next().await {
        println!("received {}", String::from_utf8_lossy(&delivery.body));
        delivery.ack().await?;
    }
    consumer.drain(Duration::from_secs(5)).await;
    Ok(())
}
