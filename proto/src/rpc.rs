//! The calls of Terraform's provider protocol as its two versions name them.
//!
//! Protocols 5 and 6 have the same messages with the same numbers of fields, but for schemas (`tfplugin5.proto`); 5 gives a
//! `prepared_config` that Terraform does not use, and calls some things by other names. So there is one set of messages, and
//! each call knows its path in both.

use std::marker::PhantomData;

use crate::handshake::Protocol;
use crate::{tfplugin5, tfplugin6 as wire};

/// A call: what is asked, `Q`, and what is answered, `A`.
#[derive(Debug)]
pub struct Rpc<Q, A> {
    /// Its name in protocol 6, for messages.
    pub name: &'static str,
    v5: &'static str,
    v6: &'static str,
    of: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Rpc<Q, A> {
    /// `/SERVICE/CALL`, as gRPC has it.
    pub fn path(&self, protocol: Protocol) -> &'static str {
        match protocol {
            Protocol::V5 => self.v5,
            Protocol::V6 => self.v6,
        }
    }
}

/// The schemas, as a plugin of protocol 5 tells them.
pub const GET_SCHEMA: Rpc<tfplugin5::get_provider_schema::Request, tfplugin5::get_provider_schema::Response> =
    Rpc { name: "GetProviderSchema", v5: "/tfplugin5.Provider/GetSchema", v6: "", of: PhantomData };

macro_rules! calls {
    ($($constant:ident: $messages:ident = $v5:literal, $v6:literal;)*) => {
        $(pub const $constant: Rpc<wire::$messages::Request, wire::$messages::Response> = Rpc {
            name: $v6,
            v5: concat!("/tfplugin5.Provider/", $v5),
            v6: concat!("/tfplugin6.Provider/", $v6),
            of: PhantomData,
        };)*
    };
}

calls! {
    GET_PROVIDER_SCHEMA: get_provider_schema = "GetSchema", "GetProviderSchema";
    VALIDATE_PROVIDER_CONFIG: validate_provider_config = "PrepareProviderConfig", "ValidateProviderConfig";
    CONFIGURE_PROVIDER: configure_provider = "Configure", "ConfigureProvider";
    STOP_PROVIDER: stop_provider = "Stop", "StopProvider";
    VALIDATE_RESOURCE_CONFIG: validate_resource_config = "ValidateResourceTypeConfig", "ValidateResourceConfig";
    UPGRADE_RESOURCE_STATE: upgrade_resource_state = "UpgradeResourceState", "UpgradeResourceState";
    READ_RESOURCE: read_resource = "ReadResource", "ReadResource";
    PLAN_RESOURCE_CHANGE: plan_resource_change = "PlanResourceChange", "PlanResourceChange";
    APPLY_RESOURCE_CHANGE: apply_resource_change = "ApplyResourceChange", "ApplyResourceChange";
    IMPORT_RESOURCE_STATE: import_resource_state = "ImportResourceState", "ImportResourceState";
    MOVE_RESOURCE_STATE: move_resource_state = "MoveResourceState", "MoveResourceState";
    VALIDATE_DATA_SOURCE_CONFIG: validate_data_resource_config = "ValidateDataSourceConfig", "ValidateDataResourceConfig";
    READ_DATA_SOURCE: read_data_source = "ReadDataSource", "ReadDataSource";
    VALIDATE_EPHEMERAL_RESOURCE_CONFIG: validate_ephemeral_resource_config =
        "ValidateEphemeralResourceConfig", "ValidateEphemeralResourceConfig";
    OPEN_EPHEMERAL_RESOURCE: open_ephemeral_resource = "OpenEphemeralResource", "OpenEphemeralResource";
    RENEW_EPHEMERAL_RESOURCE: renew_ephemeral_resource = "RenewEphemeralResource", "RenewEphemeralResource";
    CLOSE_EPHEMERAL_RESOURCE: close_ephemeral_resource = "CloseEphemeralResource", "CloseEphemeralResource";
    CALL_FUNCTION: call_function = "CallFunction", "CallFunction";
}
