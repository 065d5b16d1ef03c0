use super::super::Kind::WordPress;
use super::super::tests::{imported, tried};

const SHOP: &str = "<?php
/**
 * define( 'WPMS_SMTP_HOST', 'in.a.comment' );
 */
define( 'DB_PASSWORD', 'it\\'s // not # mail /* at all' );
// define( 'WPMS_SMTP_PORT', 25 );
define( 'WPMS_ON', true );
define( 'WPMS_MAIL_FROM', 'shop@shop.example' );
define( 'WPMS_MAIL_FROM_FORCE', true ); // True turns it on.
define( 'WPMS_MAIL_FROM_NAME', 'The Shop' );
define( 'WPMS_MAILER', 'smtp' );
define( 'WPMS_SMTP_HOST', 'smtp.gmail.com' );
define( 'WPMS_SMTP_PORT', 587 );
define( 'WPMS_SSL', 'tls' );
define( 'WPMS_SMTP_AUTH', true );
define( 'WPMS_SMTP_USER', 'shop@gmail.com' );
define( 'WPMS_SMTP_PASS', 'abcdefghijklmnop' );
define( 'WPMS_SMTP_AUTOTLS', true );
define( 'WPMS_LOG_EMAIL_CONTENT', true );
require_once ABSPATH . 'wp-settings.php';
";

#[test]
fn wp_mail_smtp() {
    let found = imported(WordPress, &[("/var/www/html/wp-config.php", SHOP)]);
    let wanted = [
        "PROVIDER=gmail",
        "USERNAME=shop@gmail.com",
        "PASSWORD=abcdefghijklmnop",
        "FROM=The Shop <shop@shop.example>",
        "FROM_MODE=force",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["abcdef", "not # mail", "in.a.comment", "app password"]);
    found.says(&["WPMS_LOG_EMAIL_CONTENT (settings of the plugin itself)"]);
}

#[test]
fn keys_that_are_passwords_too() {
    let with = |mailer: &str, key: &str| {
        let php = format!(
            "<?php define('WPMS_ON',true); define('WPMS_MAILER','{mailer}');\ndefine(\"{key}\", \"the-key\");\n"
        );
        imported(WordPress, &[("wp-config.php", &php)])
    };
    assert_eq!(with("sendgrid", "WPMS_SENDGRID_API_KEY").working(), ["PROVIDER=sendgrid", "API_KEY=the-key"]);
    assert_eq!(with("postmark", "WPMS_POSTMARK_SERVER_API_TOKEN").working(), ["PROVIDER=postmark", "API_KEY=the-key"]);
    let other = with("mailgun", "WPMS_MAILGUN_API_KEY");
    other.says(&["wp-config.php line 1: WPMS_MAILER is `mailgun`, which speaks the provider's own API"]);
    other.is_silent_about(&["the-key"]);
}

#[test]
fn what_looks_wrong() {
    let php = "<?php\ndefine('WPMS_ON', false);\ndefine('WPMS_DO_NOT_SEND', true);\ndefine('WPMS_SMTP_HOST', 'mail.test');\n\
               define('WPMS_SMTP_AUTH', false);\ndefine('WPMS_SMTP_USER', getenv('SMTP_USER'));\ndefine('WPMS_SMTP_PASS', \"hunter2$\");\n\
               define('WPMS_MAIL_FROM', 'nobody');\ndefine('WPMS_MAIL_FROM_NAME_FORCE', true);\n";
    let found = imported(WordPress, &[("wp-config.php", php)]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=25"]);
    found.is_silent_about(&["hunter2"]);
    found.says(&[
        "wp-config.php line 2: WPMS_ON is not true",
        "wp-config.php line 3: no mail leaves at all",
        "wp-config.php line 4: so far mail went in plain text",
        "wp-config.php line 6: WPMS_SMTP_USER is worked out by PHP",
        "wp-config.php line 7: WPMS_SMTP_PASS is worked out by PHP",
        "wp-config.php line 8: the sender is no address",
        "wp-config.php line 9: a name that replaces every other",
    ]);
}

#[test]
fn other_plugins_keep_the_server_in_the_database() {
    for plugin in ["POST_SMTP_AUTH", "FLUENTMAIL_SMTP"] {
        let php = format!("<?php\ndefine('{plugin}_USERNAME', 'joe');\ndefine('{plugin}_PASSWORD', 'hunter2');\n");
        let found = imported(WordPress, &[("wp-config.php", &php)]);
        found.is_silent_about(&["hunter2"]);
        found.says(&[
            "wp-config.php line 2: the server is not among the plugin's constants",
            "SIDEPOST_PROVIDER: nothing says",
        ]);
    }
    let key = imported(WordPress, &[("wp-config.php", "<?php define('POST_SMTP_API_KEY', 'hunter2');")]);
    key.says(&["wp-config.php line 1: POST_SMTP_API_KEY"]);
    key.is_silent_about(&["hunter2"]);
}

#[test]
fn what_makes_no_sense_names_its_line() {
    let none = tried(WordPress, &[("wp-config.php", "<?php define('DB_NAME', 'x');\n")]).unwrap_err();
    assert!(none.starts_with("wp-config.php: no constant of WP Mail SMTP"), "{none}");
    let open = tried(WordPress, &[("wp-config.php", "<?php\n$a = 'x;\n")]).unwrap_err();
    assert_eq!(open, "wp-config.php line 2: a quotation mark is not closed");
    for odd in ["define", "define(", "define('a", "define('a',", "define('WPMS_ON'", "/*", "define(1, 2)", "'\\"] {
        let _ = tried(WordPress, &[("wp-config.php", odd)]);
    }
}
