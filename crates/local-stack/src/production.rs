//! The production code that the stack runs: the one place that names it.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lambda_events::event::dynamodb::Event;
use local_stack::servers::{ProcessLauncher, Report};
use local_stack::stream_pump::{HandlerFuture, StreamHandler};
use stream_publisher::Publisher;
use ws_server::Server;
use ws_server::program::{self, Warnings};

/// The first word of a command line that is a node's, started by hand.
pub(crate) const NODE: &str = "node";
/// The same for a node that this program starts, which ends with it.
pub(crate) const SUPERVISED_NODE: &str = "supervised-node";
/// Takes the place of this program's name and one of the words above.
const SERVER: &str = "ws-server";

/// The Lambda function, with a client that talks to the local SNS.
///
/// # Errors
/// The topics are none that it could publish to.
pub(crate) fn publisher(aws: &SdkConfig, topics: Vec<String>) -> Result<Arc<dyn StreamHandler>, String> {
    let publisher = Publisher::with_client(aws_sdk_sns::Client::new(aws), topics).map_err(|e| e.to_string())?;
    Ok(Arc::new(Function(publisher)))
}

struct Function(Publisher<aws_sdk_sns::Client>);

impl StreamHandler for Function {
    fn invoke(&self, event: Event) -> HandlerFuture<'_> {
        Box::pin(async move { Ok(self.0.handle(event).await) })
    }
}

/// Starts this program again for each node. `log` is what nodes log, unless they are told otherwise.
pub(crate) fn servers(log: String) -> io::Result<ProcessLauncher> {
    Ok(ProcessLauncher {
        program: std::env::current_exe()?,
        first: vec![SUPERVISED_NODE.to_owned()],
        // The local stack's users wait for it: Ctrl-C is answered at once.
        defaults: vec![("ROOMCAST_LOG", log), ("ROOMCAST_DRAIN_MS", "300".to_owned())],
    })
}

/// A node's command line with these flags and all that it needs, to check it before anything is started.
pub(crate) fn checked_line(flags: &[String]) -> Vec<String> {
    // Flags win over variables. Those of the environment that the stack's nodes do not get must not count.
    let needed = [
        SERVER,
        "--topic-arn=arn:aws:sns:us-east-1:000000000000:t",
        "--sns-endpoint=http://127.0.0.1",
        "--sns-cert-origin=https://127.0.0.1",
        "--sns-trust-root=root.pem",
        "--listen=127.0.0.1:0",
        "--ops-listen=127.0.0.1:0",
        "--link-listen=127.0.0.1:0",
        "--link-address=127.0.0.1:1",
        "--cluster-key=0123456789abcdef0123456789abcdef",
        "--messages-table=messages",
        "--nodes-table=nodes",
    ];
    needed.into_iter().chain(flags.iter().map(String::as_str)).map(str::to_owned).collect()
}

/// A node by hand: the server as it is. The arguments are those behind the first word.
pub(crate) fn node(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    program::main(&command_line(arguments))
}

/// A node that tells on standard output what it does, and does not outlive the stack.
pub(crate) fn supervised_node(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let lifeline = std::thread::Builder::new().name("lifeline".to_owned()).spawn(end_with_parent);
    let ended = match lifeline {
        Ok(_) => program::run(&command_line(arguments), Warnings::Told, async |server: &Server| {
            tell(&Report::Serving(server.node().to_string()));
            server.ready().await;
            tell(&Report::Ready);
            std::future::pending::<()>().await;
        }),
        Err(error) => Err(error.to_string().into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&Report::Failed(failure.reason));
            ExitCode::from(failure.code)
        }
    }
}

fn command_line(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    [SERVER.into()].into_iter().chain(arguments).collect()
}

/// If the stack does not read it, it has gone, and this process ends anyway.
fn tell(report: &Report) {
    drop(report.tell());
}

/// Standard input ends when the stack's process does, however that was ended. Then there is no log and no SNS any more
/// to drain for.
fn end_with_parent() {
    let mut bytes = [0; 64];
    loop {
        match io::stdin().lock().read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => std::process::exit(1),
        }
    }
}
