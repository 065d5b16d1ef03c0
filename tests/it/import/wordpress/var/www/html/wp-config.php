<?php
define( 'DB_NAME', 'wordpress' );
define( 'DB_PASSWORD', 'it\'s // not mail' );

// WP Mail SMTP
define( 'WPMS_ON', true );
define( 'WPMS_MAIL_FROM', 'shop@shop.example' );
define( 'WPMS_MAIL_FROM_FORCE', true ); // True turns it on, false turns it off.
define( 'WPMS_MAIL_FROM_NAME', 'The Shop' );
define( 'WPMS_MAILER', 'smtp' );
define( 'WPMS_SET_RETURN_PATH', true );
define( 'WPMS_SMTP_HOST', 'ssl0.ovh.net' );
define( 'WPMS_SMTP_PORT', 465 );
define( 'WPMS_SSL', 'ssl' );
define( 'WPMS_SMTP_AUTH', true );
define( 'WPMS_SMTP_USER', 'shop@shop.example' );
define( 'WPMS_SMTP_PASS', 'a\\b\'c' );
define( 'WPMS_SMTP_AUTOTLS', true );

require_once ABSPATH . 'wp-settings.php';
