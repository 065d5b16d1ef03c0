<?php
// Sends the messages of a task on standard input with PHPMailer, and says what became of each.

require '/usr/share/php/libphp-phpmailer/autoload.php';

use PHPMailer\PHPMailer\Exception;
use PHPMailer\PHPMailer\PHPMailer;

$task = json_decode(stream_get_contents(STDIN), true);

$php = new PHPMailer(true);
$php->isSMTP();
$door = $task['door'];
$php->Host = $door['host'];
$php->Port = $door['port'];
$php->Helo = 'client.test';
$php->Timeout = 20;
$php->SMTPKeepAlive = true;
$php->SMTPDebug = 2;
$last = 0;
// PHPMailer forgets the reply to a login that was refused.
$php->Debugoutput = function ($line) use (&$last) {
    echo rtrim($line), "\n";
    if (preg_match('/^SERVER -> CLIENT: (\d{3})/', $line, $found) && $found[1] !== '221') {
        $last = (int) $found[1];
    }
};
$php->CharSet = 'UTF-8';
// On by default: it takes up STARTTLS wherever that is offered.
$php->SMTPAutoTLS = $door['upgrade'];
$php->SMTPSecure = ['none' => '', 'starttls' => 'tls', 'implicit' => 'ssl'][$door['tls']];
if ($door['ca_file'] !== '') {
    $own = $door['certificate'] !== '' ? ['local_cert' => $door['certificate'], 'local_pk' => $door['key']] : [];
    $php->SMTPOptions = ['ssl' => ['cafile' => $door['ca_file']] + $own];
}
if ($door['login'] !== 'none') {
    $php->SMTPAuth = true;
    [$php->AuthType, $php->Username, $php->Password] = [$door['login'], $door['user'], $door['password']];
}
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
    foreach ($mail['hidden'] as $recipient) {
        $php->addBCC($recipient);
    }
    $php->dsn = $mail['notices'] ? 'SUCCESS,FAILURE' : '';
    $php->Subject = $mail['subject'];
    $php->isHTML($mail['html'] !== '');
    $php->Body = $mail['html'] !== '' ? $mail['html'] : $mail['text'];
    $php->AltBody = $mail['html'] !== '' ? $mail['text'] : '';
    $php->addCustomHeader('X-Mark', $mail['mark']);
    foreach ($mail['attachments'] as $file) {
        $php->addStringAttachment(hex2bin($file['hex']), $file['name'], PHPMailer::ENCODING_BASE64, $file['type']);
    }
}

$results = [];
foreach ($task['mails'] as $mail) {
    $last = 0;
    try {
        fill($php, $mail);
        $php->send();
        $results[] = ['code' => 250, 'said' => 'sent'];
    } catch (Exception $exception) {
        $code = (int) $php->getSMTPInstance()->getError()['smtp_code'];
        $results[] = ['code' => $code ?: $last, 'said' => $exception->getMessage()];
    }
}
$php->smtpClose();
echo "\nRESULTS ", json_encode($results), "\n";
