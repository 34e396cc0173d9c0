use std::net::TcpListener;

use tests::process::{Finished, Process};
use tests::{Crowd, Node, PATIENCE, Stack, StackOptions, crowd::room, ports};

/// Standard error is one line, standard output nothing, and the program has failed.
fn one_line(finished: &Finished, parts: &[&str]) {
    assert!(!finished.status.success());
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    for part in parts {
        assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
    }
}

fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_start_says_why_in_one_line() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let quiet = ["--log", "warn"];
    let port = ports::free(1);

    let blocker = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = blocker.local_addr().unwrap();
    let finished = Node::launch(&stack, busy.port(), &quiet).finished(PATIENCE).await;
    let told =
        ["ws-server: cannot listen on", &busy.to_string(), "(--listen)", "in use", "another address with --listen"];
    one_line(&finished, &told);
    let listens = busy.to_string();
    let link = [&quiet[..], &["--link-listen", &listens]].concat();
    let finished = Node::launch(&stack, port, &link).finished(PATIENCE).await;
    one_line(&finished, &["ws-server: cannot listen on", &busy.to_string(), "(--link-listen)", "in use"]);
    let mut by_variable = Node::environment(&stack).to_vec();
    let arguments = Node::arguments(&stack, port)[2..].to_vec();
    by_variable.push(("ROOMCAST_LISTEN", &listens));
    let finished = Process::start("ws-server", &arguments, &by_variable).finished(PATIENCE).await;
    let by_line = finished.stderr.lines().find(|line| line.starts_with("ws-server: ")).unwrap_or_default();
    assert!(by_line.contains("(ROOMCAST_LISTEN)") && by_line.contains("with ROOMCAST_LISTEN"), "{}", finished.stderr);

    let mut arguments = Node::arguments(&stack, port);
    assert_eq!(arguments.pop().as_deref(), Some("--create-tables"));
    let finished = Process::start("ws-server", &arguments, &Node::environment(&stack)).finished(PATIENCE).await;
    one_line(&finished, &["table roomcast-messages does not exist", "--create-tables"]);

    let missing = [&quiet[..], &["--sns-trust-root", "/nowhere/root.pem"]].concat();
    let finished = Node::launch(&stack, port, &missing).finished(PATIENCE).await;
    one_line(&finished, &["--sns-trust-root /nowhere/root.pem", "No such file"]);

    let no_certificate = stack.data().join("stack.json");
    let empty = [&quiet[..], &["--sns-trust-root", no_certificate.to_str().unwrap()]].concat();
    let finished = Node::launch(&stack, port, &empty).finished(PATIENCE).await;
    one_line(&finished, &["--sns-trust-root", "stack.json"]);

    let contradiction = [&quiet[..], &["--max-body", "65536"]].concat();
    let finished = Node::launch(&stack, port, &contradiction).finished(PATIENCE).await;
    one_line(&finished, &["--max-body"]);

    let environment = Node::environment(&stack).map(|(name, value)| match name {
        "AWS_ENDPOINT_URL_DYNAMODB" => (name, "http://127.0.0.1:9"),
        _ => (name, value),
    });
    let finished = Process::start("ws-server", &Node::arguments(&stack, port), &environment).finished(PATIENCE).await;
    one_line(&finished, &["table roomcast-messages"]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_an_account_that_is_not_as_it_should_be_says_what_to_mend() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let (quiet, port) = (["--log", "off"], ports::free(1));
    let without = |names: &[&str]| -> Vec<(&str, &str)> {
        Node::environment(&stack).into_iter().filter(|(name, _)| !names.contains(name)).collect()
    };
    let arguments = [&Node::arguments(&stack, port)[2..], &strings(&["--listen", "127.0.0.1:0", "--log", "off"])];
    let mut arguments = arguments.concat();
    let log = arguments.iter().position(|argument| argument == "--log").expect("it is there");
    arguments.drain(log..log + 2);
    let told = async |environment: &[(&str, &str)]| {
        Process::start("ws-server", &arguments, environment).finished(PATIENCE).await
    };
    one_line(&told(&without(&["AWS_REGION"])).await, &["no AWS region is configured: set AWS_REGION"]);
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    one_line(&told(&without(&keys)).await, &["ws-server: no AWS credentials: "]);
    let mut elsewhere = without(&["AWS_REGION"]);
    elsewhere.push(("AWS_REGION", "eu-west-1"));
    one_line(&told(&elsewhere).await, &[stack.announced("topic_arn"), "is not in the region eu-west-1"]);
    let mut short = without(&["ROOMCAST_CLUSTER_KEY"]);
    short.push(("ROOMCAST_CLUSTER_KEY", "short"));
    one_line(&told(&short).await, &["ws-server: ROOMCAST_CLUSTER_KEY: a key has at least 32 characters"]);
    let mut with_redis = without(&[]);
    with_redis.push(("ROOMCAST_REDIS_URL", "http://:secret@cache"));
    let bad_url = told(&with_redis).await;
    one_line(&bad_url, &["ws-server: ROOMCAST_REDIS_URL: expected redis://"]);
    assert!(!bad_url.stderr.contains("secret"), "{}", bad_url.stderr);

    let nowhere = "arn:aws:sns:us-east-1:000000000000:nowhere";
    let missing = [&quiet[..], &["--topic-arn", nowhere]].concat();
    let finished = Node::launch(&stack, port, &missing).finished(PATIENCE).await;
    one_line(&finished, &["ws-server: topic", nowhere, "does not exist"]);
    let blocker = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = blocker.local_addr().unwrap().to_string();
    let finished =
        Node::launch(&stack, port, &[&quiet[..], &["--ops-listen", &taken]].concat()).finished(PATIENCE).await;
    one_line(&finished, &["ws-server: cannot listen on", &taken, "(--ops-listen)", "in use"]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_says_which_variable_is_missing() {
    let finished = Process::start("stream-publisher", &[], &[]).finished(PATIENCE).await;
    one_line(&finished, &["stream-publisher: TOPIC_ARNS must list SNS topic ARNs", "no topic is named"]);
    let fifo = [("TOPIC_ARNS", "arn:aws:sns:us-east-1:000000000000:t.fifo")];
    let finished = Process::start("stream-publisher", &[], &fifo).finished(PATIENCE).await;
    one_line(&finished, &["stream-publisher: TOPIC_ARNS", "is a FIFO topic"]);
    let topics = [("TOPIC_ARNS", "arn:aws:sns:us-east-1:000000000000:t")];
    let finished = Process::start("stream-publisher", &[], &topics).finished(PATIENCE).await;
    one_line(&finished, &["stream-publisher: AWS_LAMBDA_RUNTIME_API is not set"]);
    let of_a_node = [topics[0], ("ROOMCAST_LOG", "debug")];
    let finished = Process::start("stream-publisher", &[], &of_a_node).finished(PATIENCE).await;
    let warning = "the variable ROOMCAST_LOG is not known here and has no effect: this program reads TOPIC_ARNS";
    assert_eq!(finished.stdout.matches(warning).count(), 1, "{}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_is_not_understood_is_named_with_the_reason() {
    let needed = ["--topic-arn", "arn:aws:sns:us-east-1:000000000000:t", "--sns-endpoint", "http://127.0.0.1:1"];
    for (flag, value) in [
        ("--listen", "nowhere"),
        ("--heartbeat-ms", "soon"),
        ("--heartbeat-ms", "1"),
        ("--drain-ms", "999999999"),
        ("--sns-endpoint", "ftp://x"),
        ("--topic-arn", "not-an-arn"),
        ("--sns-cert-origin", "http://127.0.0.1"),
        ("--log-format", "xml"),
        ("--log", "ws_server=loud"),
    ] {
        let needed: Vec<&str> = needed.chunks(2).filter(|pair| pair[0] != flag).flatten().copied().collect();
        let arguments = strings(&[&needed[..], &[flag, value]].concat());
        let finished = Process::start("ws-server", &arguments, &[]).finished(PATIENCE).await;
        one_line(&finished, &[flag, value]);
    }
    let finished = Process::start("ws-server", &strings(&["--loud"]), &[]).finished(PATIENCE).await;
    one_line(&finished, &["--loud"]);
    let finished = Process::start("ws-server", &[], &[]).finished(PATIENCE).await;
    one_line(&finished, &["--topic-arn", "--sns-endpoint"]);
    assert_eq!(finished.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_every_flag_and_its_variable() {
    let finished = Process::start("ws-server", &strings(&["--help"]), &[]).finished(PATIENCE).await;
    assert!(finished.status.success());
    let help = finished.stdout;
    let mut flags: Vec<&str> =
        help.split_whitespace().filter(|word| word.starts_with("--")).map(|word| word.trim_end_matches(',')).collect();
    flags.retain(|flag| {
        help.lines()
            .any(|line| line.trim_start().trim_start_matches("-h, ").trim_start_matches("-V, ").starts_with(flag))
    });
    flags.sort_unstable();
    flags.dedup();
    let known = [
        "--address-rates",
        "--allowed-origins",
        "--audit-units",
        "--beat-ms",
        "--cluster-key",
        "--commits-in-flight",
        "--connections",
        "--control-frames-per-second",
        "--create-tables",
        "--deflate-above",
        "--drain-ms",
        "--gap-ms",
        "--heartbeat-ms",
        "--help",
        "--histories-per-second",
        "--http-connections",
        "--http-connections-per-address",
        "--http-request-bytes",
        "--http-write-ms",
        "--joins-per-second",
        "--link-address",
        "--link-listen",
        "--listen",
        "--log",
        "--log-format",
        "--max-body",
        "--messages-table",
        "--nodes-table",
        "--opens-in-flight",
        "--opens-per-second",
        "--ops-listen",
        "--outbox-bytes",
        "--outbox-total-bytes",
        "--page-link",
        "--peer-hints",
        "--publishes-per-second",
        "--recent-bytes",
        "--redis-password",
        "--redis-trust-root",
        "--redis-url",
        "--retention-hours",
        "--room-queue",
        "--rooms",
        "--rooms-per-session",
        "--sessions-per-address",
        "--signal-deliveries-per-second",
        "--signals-per-second",
        "--sns-cert-origin",
        "--sns-endpoint",
        "--sns-relay",
        "--sns-trust-root",
        "--stand-alone",
        "--topic-arn",
        "--trusted-proxies",
        "--user-rates",
        "--version",
    ];
    assert_eq!(flags, known, "a new flag belongs into this list and into the documentation");
    assert_eq!(help.matches("[env: ROOMCAST_").count(), known.len() - 2, "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stack_on_the_same_folder_is_refused_and_the_first_one_goes_on() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    ada.say(&lobby, "before").await;
    let data = stack.data().to_str().unwrap();
    let port = ports::free(2).to_string();
    let second = strings(&["--data", data, "--port", &port]);
    let finished = Process::start("roomcast-local", &second, &[]).finished(PATIENCE).await;
    one_line(&finished, &["is in use by another local stack", data]);

    let own_port = stack.nodes()[1].rsplit(':').next().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let second = strings(&["--data", elsewhere.path().to_str().unwrap(), "--port", own_port]);
    let finished = Process::start("roomcast-local", &second, &[]).finished(PATIENCE).await;
    one_line(&finished, &[&format!("port {own_port} (node 1)"), "--port"]);

    let second = strings(&["--data", elsewhere.path().to_str().unwrap(), "--fault", "sns.dorp=0.1"]);
    let finished = Process::start("roomcast-local", &second, &[]).finished(PATIENCE).await;
    one_line(&finished, &["unknown fault `sns.dorp`"]);

    ben.say(&lobby, "after").await;
    crowd.verified().await;
    let finished = stack.stop().await;
    assert!(!finished.stderr.contains("ERROR"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_ends_a_stack_and_a_node_as_terminate_does() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let node = Node::start(&stack, &[]).await;
    node.process().signal("INT");
    assert!(node.stop_requested().await.status.success());
    stack.process().signal("INT");
    stack.stop_requested().await;
}
