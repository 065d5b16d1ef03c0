<?php
// What a new Laravel application has around its mail: the container, `.env` as config/mail.php reads it, the facade.

use Illuminate\Config\Repository;
use Illuminate\Container\Container;
use Illuminate\Mail\MailManager;
use Illuminate\Support\Facades\Facade;
use Illuminate\Support\Facades\Mail;

require_once 'Swift/autoload.php';
foreach (['Config', 'Container', 'Mail', 'Support'] as $part) {
    require_once "Illuminate/$part/autoload.php";
}

$env = array_map(fn ($value) => $value === 'null' ? null : $value, parse_ini_file('.env', false, INI_SCANNER_RAW));
$app = new Container();
Container::setInstance($app);
Facade::setFacadeApplication($app);
$app->instance('config', new Repository(['mail' => [
    'default' => $env['MAIL_MAILER'],
    'mailers' => ['smtp' => [
        'transport' => 'smtp',
        'host' => $env['MAIL_HOST'],
        'port' => $env['MAIL_PORT'],
        'encryption' => $env['MAIL_ENCRYPTION'],
        'username' => $env['MAIL_USERNAME'],
        'password' => $env['MAIL_PASSWORD'],
    ]],
    'from' => ['address' => $env['MAIL_FROM_ADDRESS'], 'name' => $env['MAIL_FROM_NAME']],
]]));
$app->instance('view', new class implements Illuminate\Contracts\View\Factory {
    public function exists($view) { return false; }
    public function file($path, $data = [], $mergeData = []) { throw new LogicException(); }
    public function make($view, $data = [], $mergeData = []) { throw new LogicException(); }
    public function share($key, $value = null) {}
    public function composer($views, $callback) { return []; }
    public function creator($views, $callback) { return []; }
    public function addNamespace($namespace, $hints) { return $this; }
    public function replaceNamespace($namespace, $hints) { return $this; }
});
$app->bind('events', fn () => null);
$app->instance('mail.manager', $manager = new MailManager($app));
$app->singleton('mailer', fn () => $manager->mailer());

