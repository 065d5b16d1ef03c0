// Prints the seconds that each of so many sends takes, one after the other: nodemailer_send.cjs PORT pool|new COUNT
const nodemailer = require("nodemailer");

const [port, manner, count] = process.argv.slice(2);
const transport = nodemailer.createTransport({ host: "127.0.0.1", port: Number(port), pool: manner === "pool", ignoreTLS: true });
const message = { from: "a@example.com", to: "b@example.com", subject: "round trips", text: "x".repeat(1000) };

(async () => {
  for (let sent = 0; sent < Number(count); sent++) {
    const began = process.hrtime.bigint();
    await transport.sendMail(message);
    console.log(Number(process.hrtime.bigint() - began) / 1e9);
  }
  transport.close();
})();
