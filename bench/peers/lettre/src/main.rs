//! Prints the seconds that each of so many sends takes, one after the other, over lettre's pool: lettre-send PORT COUNT

use std::time::Instant;

use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("PORT")?.parse()?;
    let count: usize = arguments.next().ok_or("COUNT")?.parse()?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(port).build();
    for _ in 0..count {
        let message = Message::builder().from("a@example.com".parse()?).to("b@example.com".parse()?);
        let message = message.subject("round trips").body("x".repeat(1000))?;
        let began = Instant::now();
        transport.send(message).await?;
        println!("{}", began.elapsed().as_secs_f64());
        // A connection goes back to the pool in a task of its own.
        tokio::task::yield_now().await;
    }
    Ok(())
}
