<?php
/**
 * Plugin Name: Sidepost
 * Description: Hands this site's mail to the Sidepost beside it, and says why when mail does not leave (Tools > Mail).
 * Version: 0.1.0
 * License: MIT OR Apache-2.0
 * Requires at least: 5.9
 * Requires PHP: 7.2
 *
 * A must-use plugin: put this file into wp-content/mu-plugins. It needs no settings beside a Sidepost called `sidepost`;
 * these may be constants in wp-config.php or variables of the environment:
 *
 * SIDEPOST_ADDRESS           its SMTP listener, `sidepost:1025`
 * WORDPRESS_SIDEPOST_HEALTH  its health, `http://sidepost:9025/health`
 * WORDPRESS_SIDEPOST_FROM    who sends all of this site's mail; who was the sender before gets the answers
 */

namespace Sidepost;

defined( 'ABSPATH' ) || exit;

// Who does not let us in within this time is not there.
const CONNECT_SECONDS = 5;
// Longer than Sidepost takes with its defaults (SIDEPOST_SEND_TIMEOUT and SIDEPOST_ANSWER_TIMEOUT), so that it is never
// we who do not know what became of a message.
const ANSWER_SECONDS = 130;
const HEALTH_SECONDS = 3;
const LARGEST_HEALTH = 65536;
const FAILURE        = 'sidepost_failure';
const PAGE           = 'sidepost';
const CAPABILITY     = 'manage_options';

const LINKS = array(
	'config'   => 'Settings',
	'name'     => 'Own host name',
	'dns'      => 'The provider\'s name',
	'connect'  => 'Connection',
	'tls'      => 'TLS',
	'greeting' => 'Greeting',
	'auth'     => 'Login',
	'token'    => 'OAuth token',
	'sender'   => 'Sender address',
	'accepted' => 'Message taken',
);

add_filter( 'wp_mail', __NAMESPACE__ . '\\begin' );
add_filter( 'wp_mail_from', __NAMESPACE__ . '\\usable_sender', PHP_INT_MAX );
add_action( 'phpmailer_init', __NAMESPACE__ . '\\through_sidepost', PHP_INT_MAX );
add_action( 'wp_mail_failed', __NAMESPACE__ . '\\remember_failure' );
add_action( 'wp_mail_succeeded', __NAMESPACE__ . '\\forget_failure' );
add_action( 'admin_notices', __NAMESPACE__ . '\\show_failure' );
add_action( 'admin_menu', __NAMESPACE__ . '\\add_page' );
add_filter( 'site_status_tests', __NAMESPACE__ . '\\add_site_health_test' );

/* --- settings --- */

function setting( $name, $otherwise ) {
	$value = defined( $name ) ? constant( $name ) : getenv( $name );
	return is_string( $value ) && '' !== trim( $value ) ? trim( $value ) : $otherwise;
}

/** Host and port of the SMTP listener; an IPv6 address stands in brackets. */
function address() {
	$address = setting( 'SIDEPOST_ADDRESS', 'sidepost:1025' );
	$colon   = strrpos( $address, ':' );
	if ( false === $colon || ! ctype_digit( substr( $address, $colon + 1 ) ) ) {
		return array( $address, 1025 );
	}
	return array( substr( $address, 0, $colon ), (int) substr( $address, $colon + 1 ) );
}

function health_url() {
	return setting( 'WORDPRESS_SIDEPOST_HEALTH', 'http://' . address()[0] . ':9025/health' );
}

/* --- sending --- */

/** The session of the message that is being sent; none before it is handed over. */
function session( $change = null ) {
	static $session = null;
	if ( null !== $change ) {
		$session = $change ? $change : null;
	}
	return $session;
}

function begin( $mail ) {
	session( false );
	return $mail;
}

/** WordPress calls itself wordpress@ and the site's name, which PHPMailer refuses where that is `localhost`. */
function usable_sender( $from ) {
	$own = setting( 'WORDPRESS_SIDEPOST_FROM', '' );
	if ( is_email( $own ) && ( ! is_email( $from ) || 0 === strpos( $from, 'wordpress@' ) ) ) {
		return $own;
	}
	return is_email( $from ) ? $from : get_option( 'admin_email' );
}

function through_sidepost( $mailer ) {
	list( $host, $port ) = address();
	$mailer->isSMTP();
	$mailer->Host        = $host;
	$mailer->Port        = $port;
	$mailer->SMTPAuth    = false;
	$mailer->SMTPSecure  = '';
	$mailer->SMTPAutoTLS = false;
	// A connection that is kept would wait for the next message of a request that has none.
	$mailer->SMTPKeepAlive = false;
	$mailer->Timeout       = CONNECT_SECONDS;
	$mailer->setSMTPInstance( session( new_session() ) );
	send_as_own_sender( $mailer, setting( 'WORDPRESS_SIDEPOST_FROM', '' ) );
}

/** Contact forms write a visitor's address into From, which no provider lets a site send as. */
function send_as_own_sender( $mailer, $own ) {
	if ( ! is_email( $own ) || 0 === strcasecmp( $own, $mailer->From ) ) {
		return;
	}
	if ( ! $mailer->getReplyToAddresses() ) {
		$mailer->addReplyTo( $mailer->From, $mailer->FromName );
	}
	$mailer->setFrom( $own, $mailer->FromName, false );
	$mailer->Sender = $own;
}

/** PHPMailer's SMTP, with a short wait for the connection, a long one for the answer, and a memory for the reason. */
function new_session() {
	// Anonymous, since WordPress loads PHPMailer only when it sends.
	return new class() extends \PHPMailer\PHPMailer\SMTP {
		public $code   = 0;
		public $reason = '';

		public function connect( $host, $port = null, $timeout = 30, $options = array() ) {
			// It waits this long for each reply, and for five minutes by itself.
			$this->Timelimit = CONNECT_SECONDS;
			if ( ! parent::connect( $host, $port, CONNECT_SECONDS, $options ) ) {
				list( $host, $port ) = address();
				$reply               = one_line( $this->getLastReply() );
				$said                = '' !== $this->reason ? $this->reason : ( '' !== $reply ? $reply : 'no greeting' );
				$this->reason        = "Sidepost does not answer at $host:$port ($said). Is it running, and in one network with this site?";
				return false;
			}
			$this->Timelimit = ANSWER_SECONDS;
			$this->setTimeout( ANSWER_SECONDS );
			stream_set_timeout( $this->smtp_conn, ANSWER_SECONDS );
			return true;
		}

		protected function setError( $message, $detail = '', $smtp_code = '', $smtp_code_ex = '' ) {
			parent::setError( $message, $detail, $smtp_code, $smtp_code_ex );
			// The first is the reason; what follows are its consequences, down to the goodbye.
			if ( '' !== $message && '' === $this->reason ) {
				$this->code   = (int) $smtp_code;
				$this->reason = one_line( '' !== trim( $detail ) ? "$smtp_code $smtp_code_ex $detail" : $message );
			}
		}
	};
}

function one_line( $text ) {
	return substr( trim( preg_replace( '/\s+/', ' ', wp_check_invalid_utf8( (string) $text, true ) ) ), 0, 2000 );
}

/* --- failures --- */

/** What Sidepost said has addresses masked; subject and recipients are not kept. */
function remember_failure( $error ) {
	$session = session();
	$known   = $session && '' !== $session->reason;
	$failure = array(
		'time'   => time(),
		'code'   => $known ? $session->code : 0,
		'reason' => $known ? $session->reason : one_line( $error->get_error_message() ),
	);
	update_option( FAILURE, $failure, false );
}

function forget_failure() {
	delete_option( FAILURE );
}

function failure() {
	$failure = get_option( FAILURE );
	return is_array( $failure ) && isset( $failure['time'], $failure['code'], $failure['reason'] ) ? $failure : null;
}

/** A refusal concerns one message; anything else all of them. */
function headline( $failure ) {
	return $failure['code'] >= 500 ? 'The last mail of this site was refused.' : 'Mail from this site does not leave.';
}

function show_failure() {
	$failure = failure();
	if ( ! $failure || ! current_user_can( CAPABILITY ) ) {
		return;
	}
	printf(
		'<div class="notice notice-error" id="sidepost-failure"><p><strong>%s</strong> %s</p><p>%s ago. <a href="%s">What is broken, and a test mail</a></p></div>',
		esc_html( headline( $failure ) ),
		esc_html( $failure['reason'] ),
		esc_html( human_time_diff( (int) $failure['time'] ) ),
		esc_url( admin_url( 'tools.php?page=' . PAGE ) )
	);
}

/* --- the diagnosis --- */

/** Sidepost's health, or a sentence why there is none. It asks nobody outside, so it is quick. */
function health() {
	$url    = health_url();
	$answer = wp_remote_get(
		$url,
		array(
			'timeout'             => HEALTH_SECONDS,
			'redirection'         => 0,
			'limit_response_size' => LARGEST_HEALTH,
		)
	);
	if ( is_wp_error( $answer ) ) {
		return "Sidepost does not answer at $url (" . one_line( $answer->get_error_message() ) . '). Is it running, and in one network with this site?';
	}
	$health = json_decode( wp_remote_retrieve_body( $answer ), true );
	if ( ! is_array( $health ) || 'sidepost' !== text( $health, 'serviceId' ) ) {
		return "What answers at $url is not Sidepost (status " . (int) wp_remote_retrieve_response_code( $answer ) . ').';
	}
	return $health;
}

/** One text of what came in; anything else counts as missing. */
function text( $map, $name ) {
	return is_array( $map ) && isset( $map[ $name ] ) && is_string( $map[ $name ] ) ? $map[ $name ] : '';
}

function checks( $health, $link ) {
	$checks = isset( $health['checks'][ $link ] ) ? $health['checks'][ $link ] : array();
	return is_array( $checks ) ? array_filter( $checks, 'is_array' ) : array();
}

/* --- the page --- */

function add_page() {
	$page = add_management_page( 'Mail', 'Mail', CAPABILITY, PAGE, __NAMESPACE__ . '\\show_page' );
	add_action( "load-$page", __NAMESPACE__ . '\\test_result' );
}

/** Sends the test mail that was asked for, once, and before notices are shown, which depend on it. */
function test_result() {
	static $result = null;
	if ( null === $result && isset( $_POST['sidepost_to'] ) && current_user_can( CAPABILITY ) ) {
		$result = send_test();
	}
	return $result;
}

function show_page() {
	if ( ! current_user_can( CAPABILITY ) ) {
		wp_die( esc_html( 'You may not see this page.' ), 403 );
	}
	$result = test_result();
	echo '<div class="wrap"><h1>Mail</h1>';
	if ( $result ) {
		notice( $result[0] ? 'success' : 'error', $result[1], $result[2], 'sidepost-result' );
	}
	$health = health();
	if ( is_string( $health ) ) {
		notice( 'error', 'Nothing is known.', $health, 'sidepost-state' );
	} else {
		show_state( $health );
	}
	show_form();
	if ( is_array( $health ) ) {
		show_links( $health );
	}
	echo '</div>';
}

function notice( $kind, $headline, $sentence, $id ) {
	printf(
		'<div class="notice notice-%s inline" id="%s"><p><strong>%s</strong> %s</p></div>',
		esc_attr( $kind ),
		esc_attr( $id ),
		esc_html( $headline ),
		esc_html( $sentence )
	);
}

function show_state( $health ) {
	$states = array(
		'ok'       => array( 'success', 'Mail leaves.' ),
		'degraded' => array( 'warning', 'Mail can leave, with a doubt.' ),
		'failed'   => array( 'error', 'Mail does not leave.' ),
	);
	$state  = text( $health, 'state' );
	$shown  = isset( $states[ $state ] ) ? $states[ $state ] : array( 'info', 'Not known yet.' );
	notice( $shown[0], $shown[1], text( $health, 'output' ), 'sidepost-state' );
	$facts = array(
		'What to do'            => text( $health, 'remedy' ),
		'Cause'                 => text( $health, 'cause' ),
		'Provider'              => text( $health, 'provider' ),
		'Way to it'             => text( $health, 'path' ),
		'Last took a message'   => text( $health, 'lastSuccess' ),
		'Sidepost\'s version'   => text( $health, 'version' ),
	);
	echo '<table class="widefat striped" role="presentation" id="sidepost-facts"><tbody>';
	foreach ( array_filter( $facts, 'strlen' ) as $name => $fact ) {
		printf( '<tr><th scope="row"><strong>%s</strong></th><td>%s</td></tr>', esc_html( $name ), esc_html( $fact ) );
	}
	echo '</tbody></table>';
}

function show_links( $health ) {
	echo '<h2>The chain to the provider</h2><table class="widefat striped" id="sidepost-links"><thead><tr>';
	echo '<th>Link</th><th>State</th><th>What was seen</th><th>What to do</th></tr></thead><tbody>';
	foreach ( LINKS as $link => $name ) {
		foreach ( checks( $health, $link ) as $check ) {
			show_link( $name, $check );
		}
	}
	foreach ( checks( $health, 'path' ) as $check ) {
		show_link( 'Way ' . text( $check, 'componentId' ), $check );
	}
	echo '</tbody></table>';
}

function show_link( $name, $check ) {
	printf(
		'<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
		esc_html( $name ),
		esc_html( text( $check, 'state' ) ),
		esc_html( text( $check, 'output' ) ),
		esc_html( text( $check, 'remedy' ) )
	);
}

function show_form() {
	echo '<h2>Send a test mail</h2><form method="post">';
	wp_nonce_field( 'sidepost_test', 'sidepost_nonce' );
	printf(
		'<p><label for="sidepost_to">To</label> <input type="email" required class="regular-text" id="sidepost_to" name="sidepost_to" value="%s"></p>',
		esc_attr( wp_get_current_user()->user_email )
	);
	submit_button( 'Send test mail', 'primary', 'sidepost_send' );
	echo '</form>';
}

/** Whether it was taken, and what to say. */
function send_test() {
	check_admin_referer( 'sidepost_test', 'sidepost_nonce' );
	// Checked and not cleaned: what is left of a bad address may be somebody else's.
	$to = isset( $_POST['sidepost_to'] ) && is_string( $_POST['sidepost_to'] ) ? trim( wp_unslash( $_POST['sidepost_to'] ) ) : '';
	if ( ! is_email( $to ) ) {
		return array( false, 'Nothing was sent.', 'That is no address.' );
	}
	$text = 'This is a test mail from ' . home_url() . ". The provider took it, since you read it.\n";
	if ( wp_mail( $to, 'Test mail from ' . wp_specialchars_decode( get_option( 'blogname' ), ENT_QUOTES ), $text ) ) {
		return array( true, 'The test mail is sent.', "The provider took it for $to." );
	}
	$failure = failure();
	return array( false, 'The test mail was not sent.', $failure ? $failure['reason'] : 'WordPress does not say why.' );
}

/* --- Tools > Site Health --- */

function add_site_health_test( $tests ) {
	$tests['direct']['sidepost'] = array(
		'label' => 'Mail',
		'test'  => __NAMESPACE__ . '\\site_health_test',
	);
	return $tests;
}

function site_health_test() {
	$health = health();
	$known  = is_array( $health );
	$state  = $known ? text( $health, 'state' ) : 'failed';
	$labels = array(
		'failed'   => array( 'critical', 'Mail from this site does not leave' ),
		'degraded' => array( 'recommended', 'Mail from this site leaves, with a doubt' ),
	);
	$result = isset( $labels[ $state ] ) ? $labels[ $state ] : array( 'good', 'Mail from this site leaves' );
	$said   = $known ? trim( text( $health, 'output' ) . ' ' . text( $health, 'remedy' ) ) : $health;
	return array(
		'label'       => $result[1],
		'status'      => $result[0],
		'badge'       => array(
			'label' => 'Mail',
			'color' => 'blue',
		),
		'description' => '<p>' . esc_html( '' !== $said ? $said : 'Nothing is wrong on the way to the provider.' ) . '</p>',
		'actions'     => sprintf( '<a href="%s">What is known, and a test mail</a>', esc_url( admin_url( 'tools.php?page=' . PAGE ) ) ),
		'test'        => 'sidepost',
	);
}
