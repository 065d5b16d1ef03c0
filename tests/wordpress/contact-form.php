<?php
/**
 * Plugin Name: A contact form, as plugins of that kind send.
 */

add_action( 'admin_post_nopriv_contact', 'contact_form' );

function contact_form() {
	$visitor = wp_unslash( $_POST['email'] );
	$headers = array( "From: {$_POST['name']} <$visitor>", 'Cc: Second <second@inbox.test>', 'Bcc: hidden@inbox.test' );
	if ( ! empty( $_POST['reply_to'] ) ) {
		$headers[] = 'Reply-To: ' . wp_unslash( $_POST['reply_to'] );
	}
	if ( ! empty( $_POST['default_sender'] ) ) {
		unset( $headers[0] );
	}
	$headers[]  = 'X-Mark: ' . sanitize_key( $_POST['mark'] );
	$folder     = get_temp_dir() . wp_unique_id( 'upload' . getmypid() );
	$attachment = $folder . '/' . sanitize_file_name( wp_unslash( $_FILES['file']['name'] ) );
	mkdir( $folder );
	move_uploaded_file( $_FILES['file']['tmp_name'], $attachment );
	$sent = wp_mail( 'owner@inbox.test', wp_unslash( $_POST['subject'] ), wp_unslash( $_POST['text'] ), $headers, array( $attachment ) );
	unlink( $attachment );
	rmdir( $folder );
	wp_die( $sent ? 'Thank you.' : 'Your message could not be sent.', '', array( 'response' => $sent ? 200 : 503 ) );
}
