//! `acquire`: asks the provider for a machine, which takes its time: accepted, and observed until it is ready.
//!
//! `/provider/requests/MACHINE-MARK.json` is a request; the provider answers with a file of the same name in
//! `/provider/answers`. A request that is withdrawn is moved to `/provider/withdrawn`, and void, whatever its answer was.

use std::marker::PhantomData;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{
    Accepted, Applied, Context, Done, Evidence, Failure, Fault, Observation, ObservedAction,
};

use crate::document;
use crate::name::{check_machine, mark};
use crate::place::{Granted, Place};
use crate::undo::{Undo, undo_all};

/// No provider is faster.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The action.
pub struct Acquire<P = Granted>(PhantomData<P>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcquireInput {
    pub machine: String,
    /// The one that was reserved for it.
    pub address: String,
    /// In the provider's words.
    #[serde(default = "default_size")]
    pub size: String,
}

fn default_size() -> String {
    "small".to_owned()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcquireOutput {
    /// What the provider calls the machine.
    pub serial: String,
}

/// A request, as the provider finds it.
#[derive(Debug, Serialize)]
struct Request<'a> {
    machine: &'a str,
    address: &'a str,
    size: &'a str,
}

/// What the provider answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Ready {
        serial: String,
        /// The one that was asked for, where the provider does not say.
        address: Option<String>,
    },
    /// There will be no machine, and why.
    Refused(String),
    /// Not before so many seconds.
    Later(u64),
}

/// The handle, and the undo record: a request that may have been made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    request: String,
}

impl<P: Place> ObservedAction for Acquire<P> {
    const NAME: &'static str = "acquire";
    const DESCRIPTION: &'static str = "Asks the provider for a machine, until it is ready";
    type Input = AcquireInput;
    type Output = AcquireOutput;
    type Undo = Undo;
    type Handle = Asked;

    fn apply(
        context: &Context<'_, Undo>,
        input: AcquireInput,
    ) -> Result<Done<AcquireOutput, Undo, Asked>, Failure> {
        check_machine(&input.machine)?;
        let asked = asked(context.idempotency_key(), &input);
        // A second attempt would only make the same request again, unless it is withdrawn by now.
        if document::read::<P>(&asked.at("requests"))?.is_none() {
            context.undo_ahead(&Undo::Machine(asked.clone()))?;
            let AcquireInput { machine, address, size } = &input;
            let text = document::text(&Request { machine, address, size })?;
            document::write::<P>(&asked.at("requests"), &asked.aside(), &text)?;
        }
        // The provider may have answered an earlier attempt.
        match look::<P>(&asked, &input)? {
            Observation::Present(output) => Ok(Applied::new(output).into()),
            _ => Ok(Accepted::new(asked).observe_after(FIRST_LOOK).into()),
        }
    }

    fn observe(
        context: &Context<'_, Undo>,
        input: AcquireInput,
        evidence: Evidence<AcquireOutput, Undo, Asked>,
    ) -> Result<Observation<AcquireOutput>, Fault> {
        // Without a handle, nobody knows whether it was asked for: the key tells what the request would be called.
        let asked = match evidence.handle() {
            Some(asked) => asked.clone(),
            None => asked(context.idempotency_key(), &input),
        };
        if document::read::<P>(&asked.at("requests"))?.is_none() {
            return Ok(Observation::absent_because("request.missing", "the provider has no such request"));
        }
        Ok(look::<P>(&asked, &input)?)
    }

    fn revert(
        _: &Context<'_, Undo>,
        _: AcquireInput,
        evidence: Evidence<AcquireOutput, Undo, Asked>,
    ) -> Result<Option<Value>, Failure> {
        Ok(Some(json!(undo_all::<P>(&evidence.into_records())?)))
    }
}

/// Withdraws a request, where it was made. The provider takes back what it has given for it.
pub fn withdraw<P: Place>(asked: &Asked) -> Result<Option<String>, Failure> {
    document::remove::<P>(&asked.aside())?;
    let is_withdrawn = document::rename::<P>(&asked.at("requests"), &asked.at("withdrawn"))?;
    Ok(is_withdrawn.then(|| format!("the request {} is withdrawn", asked.request)))
}

/// What the provider says to a request.
fn look<P: Place>(asked: &Asked, input: &AcquireInput) -> Result<Observation<AcquireOutput>, Failure> {
    let Some(text) = document::read::<P>(&asked.at("answers"))? else {
        return Ok(Observation::unknown());
    };
    // Somebody may be writing it just now.
    let answer = serde_json::from_str(&text).map_err(|error| {
        Failure::retry("answer.malformed", format!("/{}: is no answer", asked.at("answers"))).because(&error)
    })?;
    Ok(match answer {
        Answer::Ready { address: Some(address), .. } if address != input.address => {
            let message = format!("the machine has the address {address}, and not {}", input.address);
            Observation::drifted("machine.address", message)
        }
        Answer::Ready { serial, .. } => Observation::Present(AcquireOutput { serial }),
        // The request is still there, to be withdrawn, and asking again would only find the same answer.
        Answer::Refused(why) => Observation::failed("machine.refused", why),
        Answer::Later(seconds) => Observation::unknown_for(Duration::from_secs(seconds)),
    })
}

fn asked(key: &str, input: &AcquireInput) -> Asked {
    Asked { request: format!("{}-{}", input.machine, mark(key)) }
}

impl Asked {
    fn at(&self, directory: &str) -> String {
        format!("provider/{directory}/{}.json", self.request)
    }

    fn aside(&self) -> String {
        format!("provider/requests/.{}", self.request)
    }
}
