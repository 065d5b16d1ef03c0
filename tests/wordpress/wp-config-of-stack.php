<?php
// In the stand-in for the official image, which reads the same variables.

function variable( $name ) {
	$file = getenv( $name . '_FILE' );
	return $file ? rtrim( file_get_contents( $file ), "\n" ) : getenv( $name );
}

define( 'DB_HOST', variable( 'WORDPRESS_DB_HOST' ) );
define( 'DB_USER', variable( 'WORDPRESS_DB_USER' ) );
define( 'DB_NAME', variable( 'WORDPRESS_DB_NAME' ) );
define( 'DB_PASSWORD', variable( 'WORDPRESS_DB_PASSWORD' ) );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ) as $name ) {
	define( "{$name}_KEY", "key of $name, for a test" );
	define( "{$name}_SALT", "salt of $name, for a test" );
}
// Nobody outside is asked.
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'WP_ACCESSIBLE_HOSTS', 'sidepost' );
define( 'DISABLE_WP_CRON', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
$table_prefix = 'wp_';
defined( 'ABSPATH' ) || define( 'ABSPATH', __DIR__ . '/' );
require_once ABSPATH . 'wp-settings.php';
