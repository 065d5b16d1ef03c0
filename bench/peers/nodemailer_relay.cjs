// SMTP in, SMTP out, the answer awaited: smtp-server with Nodemailer's pool. nodemailer_relay.cjs PORT PROVIDER
const nodemailer = require("nodemailer");
const { SMTPServer } = require("smtp-server");

const [port, provider] = process.argv.slice(2).map(Number);
const out = nodemailer.createTransport({ host: "127.0.0.1", port: provider, pool: true, maxConnections: 10, ignoreTLS: true });

const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["AUTH", "STARTTLS"],
  disableReverseLookup: true,
  async onData(stream, session, callback) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const { mailFrom, rcptTo } = session.envelope;
    const envelope = { from: mailFrom.address, to: rcptTo.map((recipient) => recipient.address) };
    out.sendMail({ envelope, raw: Buffer.concat(chunks) }).then(
      (info) => callback(null, info.response.slice(4)),
      (error) => callback(Object.assign(error, { responseCode: 451 })),
    );
  },
});
server.on("error", (error) => console.error(error.message));
server.listen({ port, host: "127.0.0.1", backlog: 4000 });
