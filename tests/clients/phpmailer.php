<?php
// Sends the messages of a task on standard input with PHPMailer, and says what became of each.

require '/usr/share/php/libphp-phpmailer/autoload.php';

use PHPMailer\PHPMailer\Exception;
use PHPMailer\PHPMailer\PHPMailer;

$task = json_decode(stream_get_contents(STDIN), true);

$php = new PHPMailer(true);
$php->isSMTP();
$php->Host = $task['host'];
$php->Port = $task['port'];
$php->Helo = 'client.test';
$php->Timeout = 20;
$php->SMTPKeepAlive = true;
$php->SMTPDebug = 2;
$php->Debugoutput = 'echo';
$php->CharSet = 'UTF-8';
foreach ($task['properties'] ?? [] as $name => $value) {
    $php->$name = $value;
}

function fill(PHPMailer $php, array $mail): void
{
    $php->clearAllRecipients();
    $php->clearAttachments();
    $php->clearCustomHeaders();
    $php->setFrom($mail['sender'], $mail['sender_name']);
    foreach ($mail['recipients'] as $recipient) {
        $php->addAddress($recipient);
    }
    $php->Subject = $mail['subject'];
    $php->isHTML($mail['html'] !== '');
    $php->Body = $mail['html'] !== '' ? $mail['html'] : $mail['text'];
    $php->AltBody = $mail['html'] !== '' ? $mail['text'] : '';
    $php->addCustomHeader('X-Mark', $mail['mark']);
    foreach ($mail['attachments'] as $file) {
        $php->addStringAttachment(hex2bin($file['hex']), $file['name'], PHPMailer::ENCODING_BASE64, $file['type']);
    }
}

function send(PHPMailer $php, array $mail): array
{
    try {
        fill($php, $mail);
        $php->send();
        return ['code' => 250, 'said' => $php->getSMTPInstance()->getLastReply()];
    } catch (Exception $exception) {
        $error = $php->getSMTPInstance()->getError();
        return ['code' => (int) $error['smtp_code'], 'said' => $exception->getMessage()];
    }
}

$results = array_map(fn ($mail) => send($php, $mail), $task['mails']);
$php->smtpClose();
echo "\nRESULTS ", json_encode($results), "\n";
