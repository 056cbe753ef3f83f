<?php
// One HTTPS call with PHP's streams.
$context = stream_context_create(['http' => ['header' => 'Authorization: Bearer sk-trust']]);
$answer = file_get_contents($argv[1], false, $context);
if ($answer === false) exit(1);
echo $answer;
