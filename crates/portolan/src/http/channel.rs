//! What HTTP and gRPC clients have in common: their settings, and what becomes of them.

use std::{sync::Arc, time::SystemTime};

use http::{
    HeaderName, HeaderValue,
    uri::{Authority, Scheme},
};
use portolan_core::{PortRef, ServiceRef};
use tokio::sync::Semaphore;

use super::{
    endpoint::{MakeHttp, Places, Renames},
    heads::Heads,
    idempotent::Idempotency,
    replay,
    request::Target,
    settings::ConnectionSettings,
};
use crate::{
    BalancerBuilder, BuildError, Naming, Routing,
    orca::{LoadReports, Reader},
    sticky::{InSession, Sessions, Sticky, Visit},
};

/// What of an HTTP client can be set, for plain HTTP and for gRPC.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) connections: ConnectionSettings,
    pub(crate) authority: Option<Authority>,
    pub(crate) naming: Naming,
    pub(crate) heads: Heads,
    pub(crate) sticky: Option<Sticky>,
    pub(crate) load_reports: Option<LoadReports>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<rustls::ClientConfig>,
    #[cfg(feature = "tls")]
    pub(crate) server_name: Option<rustls_pki_types::ServerName<'static>>,
    pub(crate) replay_limit: usize,
    pub(crate) idempotency: Idempotency,
}

/// What a client does to each request before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    replay_limit: usize,
    idempotency: Idempotency,
    sessions: Option<Arc<Sessions>>,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            connections: ConnectionSettings::default(),
            authority: None,
            naming: Naming::default(),
            heads: Heads::default(),
            sticky: None,
            load_reports: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            server_name: None,
            replay_limit: replay::DEFAULT_LIMIT,
            idempotency: Idempotency::default(),
        }
    }
}

impl Channel {
    /// What makes the services of the endpoints.
    pub(crate) fn make(&self, service: &ServiceRef) -> Result<MakeHttp, BuildError> {
        self.connections.check()?;
        self.heads.affinity.check()?;
        #[cfg(feature = "tls")]
        let is_tls = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_tls = false;
        let (scheme, usual_port) = match is_tls {
            true => (Scheme::HTTPS, 443),
            false => (Scheme::HTTP, 80),
        };
        let authority = match &self.authority {
            Some(authority) => authority.clone(),
            None => default_authority(service, usual_port)?,
        };
        Ok(MakeHttp {
            target: Target::new(scheme, authority),
            renames: Renames {
                authority: self.naming == Naming::Target && self.authority.is_none(),
                #[cfg(feature = "tls")]
                certificate: self.naming == Naming::Target && self.server_name.is_none(),
                usual_port,
            },
            settings: self.connections.clone(),
            dials_ahead: Arc::new(Semaphore::new(self.connections.dials_ahead)),
            places: self.connections.max_in_all.map(Places::new),
            #[cfg(feature = "tls")]
            tls: self.make_tls(service)?,
        })
    }

    #[cfg(feature = "tls")]
    fn make_tls(
        &self,
        service: &ServiceRef,
    ) -> Result<Option<std::sync::Arc<super::tls::Tls>>, BuildError> {
        let Some(config) = &self.tls else {
            return Ok(None);
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => service
                .host()
                .try_into()
                .map_err(|_| not_a_name("server_name", service))?,
        };
        let tls = super::tls::Tls::new(config, name);
        Ok(Some(std::sync::Arc::new(tls)))
    }

    /// What the protocol reads in heads.
    pub(crate) fn into_heads(self, service: &ServiceRef) -> Heads {
        let reports = self.load_reports.as_ref();
        Heads {
            is_sticky: self.sticky.is_some(),
            reports: reports.map(|reports| Reader::new(reports, service)),
            ..self.heads
        }
    }

    pub(crate) fn sending(self, balancer: &BalancerBuilder) -> Result<Sending, BuildError> {
        let sessions = self.sticky.map(|sticky| sticky.of(balancer)).transpose()?;
        Ok(Sending {
            replay_limit: self.replay_limit,
            idempotency: self.idempotency,
            sessions: sessions.map(Arc::new),
        })
    }
}

/// The Service as a URL names it.
pub(crate) fn default_authority(
    service: &ServiceRef,
    usual_port: u16,
) -> Result<Authority, BuildError> {
    let host = service.host();
    match service.port() {
        Some(PortRef::Number(port)) if port.get() != usual_port => format!("{host}:{port}"),
        _ => host,
    }
    .try_into()
    .map_err(|_| not_a_name("authority", service))
}

fn not_a_name(setting: &'static str, service: &ServiceRef) -> BuildError {
    BuildError::Setting {
        setting,
        value: service.host(),
        expected: "expected a host name; set one",
    }
}

impl Sending {
    /// The request as the balancer takes it: one that can be sent again.
    pub(crate) fn prepare<B>(&self, request: http::Request<B>) -> super::endpoint::Request
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<crate::BoxError>,
    {
        let (head, body) = request.into_parts();
        let idempotent = self.idempotency.allows(&head);
        let body = replay::Replay::new(body, self.replay_limit).idempotent(idempotent);
        http::Request::from_parts(head, body)
    }

    /// Looks which session the request is of, where sessions are kept and nothing else says where it goes.
    #[inline]
    pub(crate) fn visit(
        &self,
        request: &mut super::endpoint::Request,
        heads: &Heads,
    ) -> Option<Box<Visit>> {
        let sessions = self.sessions.as_ref()?;
        let routing = heads.affinity.of(request);
        let visit = sessions.visit(&routing, request.headers(), SystemTime::now())?;
        if let Some(session) = visit.session() {
            let routing = Routing::session(session);
            request.extensions_mut().insert(InSession(routing));
        }
        Some(Box::new(visit))
    }

    /// What has a client forget its session.
    pub(crate) fn forget_session(&self) -> Option<(HeaderName, HeaderValue)> {
        self.sessions.as_ref()?.forget()
    }

    /// What decides for a request that is not sent.
    pub(crate) fn routing<'r, B>(
        &self,
        request: &'r http::Request<B>,
        heads: &Heads,
    ) -> Routing<'r> {
        let routing = heads.affinity.of(request);
        let sessions = self.sessions.as_ref();
        let visit = sessions
            .and_then(|sessions| sessions.visit(&routing, request.headers(), SystemTime::now()));
        match visit.and_then(|visit| visit.session()) {
            Some(session) => routing.with_session(session),
            None => routing,
        }
    }
}
