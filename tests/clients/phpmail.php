<?php
// Hands one message to PHP's own mail(): a task on standard input, and what it returned as the exit code.

$task = json_decode(stream_get_contents(STDIN), true);
$sent = mail($task['to'], $task['subject'], $task['body'], $task['headers'], '-f' . $task['sender']);
echo $sent ? "mail() returned true\n" : "mail() returned false\n";
exit($sent ? 0 : 1);
