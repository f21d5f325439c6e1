use proptest::prelude::*;
use prost::Message;

use super::*;

/// As the `.proto` has it.
#[derive(Clone, PartialEq, prost::Message)]
struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(double, tag = "2")]
    mem_utilization: f64,
    #[prost(uint64, tag = "3")]
    rps: u64,
    #[prost(map = "string, double", tag = "4")]
    request_cost: std::collections::HashMap<String, f64>,
    #[prost(map = "string, double", tag = "5")]
    utilization: std::collections::HashMap<String, f64>,
    #[prost(double, tag = "6")]
    rps_fractional: f64,
    #[prost(double, tag = "7")]
    eps: f64,
    #[prost(map = "string, double", tag = "8")]
    named_metrics: std::collections::HashMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

fn names() -> Names {
    Names {
        requests_in_flight: Some("in_flight".into()),
        latency: Some("latency".into()),
    }
}

/// A report that says all there is.
fn whole() -> LoadReport {
    LoadReport::default()
        .with_cpu_utilization(Utilization::new(0.5).unwrap())
        .with_application_utilization(Utilization::new(1.25).unwrap())
        .with_requests_per_second(Rate::new(120.5).unwrap())
        .with_errors_per_second(Rate::new(2.0).unwrap())
        .with_requests_in_flight(17)
        .with_latency(Duration::from_millis(250))
}

fn message() -> OrcaLoadReport {
    let named = |name: &str, value| (name.to_owned(), value);
    OrcaLoadReport {
        cpu_utilization: 0.5,
        mem_utilization: 0.9,
        rps: 7,
        request_cost: [named("cost", 3.0)].into(),
        utilization: [named("disk", 0.1)].into(),
        rps_fractional: 120.5,
        eps: 2.0,
        named_metrics: [
            named("in_flight", 17.0),
            named("latency", 0.25),
            named("else", -1.0),
        ]
        .into(),
        application_utilization: 1.25,
    }
}

#[test]
fn each_form_says_the_same() {
    let binary = message().encode_to_vec();
    let padded = base64::engine::general_purpose::STANDARD.encode(&binary);
    let unpadded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&binary);
    let forms = [
        "TEXT cpu_utilization=0.5,mem_utilization=0.9,application_utilization=1.25,rps_fractional=120.5, \
         eps = 2,named_metrics.in_flight=17,named_metrics.latency=0.25,named_metrics.else=-1,something=3"
            .to_owned(),
        r#"JSON {"cpu_utilization": 0.5, "mem_utilization": 0.9, "application_utilization": 1.25, "rps": "7",
         "rps_fractional": 120.5, "eps": 2, "utilization": {"disk": 0.1}, "something": [null],
         "named_metrics": {"in_flight": 17, "latency": 0.25, "else": -1}}"#
            .to_owned(),
        r#"JSON {"cpuUtilization":"0.5","applicationUtilization":1.25,"rpsFractional":120.5,"eps":2.0,
         "namedMetrics":{"in_flight":17,"latency":0.25}}"#
            .to_owned(),
        format!("BIN {padded}"),
        format!("BIN {unpadded}"),
    ];
    for form in forms {
        assert_eq!(of_header(form.as_bytes(), &names()), Ok(whole()), "{form}");
    }
    assert_eq!(of_binary_header(unpadded.as_bytes(), &names()), Ok(whole()));
    assert_eq!(of_message(&binary, &names()), Ok(whole()));
    assert_eq!(of_message(&[], &names()), Ok(LoadReport::default()));
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let text = b"TEXT named_metrics.in_flight=-17,cpu_utilization=0.5";
    let report = of_header(text, &Names::default()).unwrap();
    assert_eq!(report.requests_in_flight(), None);
    assert!(report.utilization().is_some());
}

#[test]
fn garbage_is_told_for_what_it_is() {
    let bad = |text: &str| of_header(text.as_bytes(), &names()).unwrap_err();
    for text in [
        "",
        "cpu_utilization=1",
        "XML <a/>",
        "TEXT",
        "text cpu_utilization=1",
    ] {
        assert_eq!(bad(text), Garbage::UnknownForm, "{text}");
    }
    for text in [
        "TEXT ",
        "TEXT a",
        "TEXT cpu_utilization=",
        "TEXT cpu_utilization=1,,",
        "TEXT a=b",
    ] {
        assert_eq!(bad(text), Garbage::Unreadable("TEXT"), "{text}");
    }
    for text in [
        "JSON ",
        "JSON []",
        r#"JSON {"eps": {}}"#,
        r#"JSON {"named_metrics": 3}"#,
    ] {
        assert_eq!(bad(text), Garbage::Unreadable("JSON"), "{text}");
    }
    assert_eq!(bad("BIN ***"), Garbage::Unreadable("base64"));
    assert_eq!(bad("BIN CQ=="), Garbage::Unreadable("an OrcaLoadReport"));
    for text in [
        "TEXT cpu_utilization=-1",
        "TEXT cpu_utilization=nan",
        "TEXT eps=inf",
        "TEXT application_utilization=1e9",
        r#"JSON {"rps_fractional": -3}"#,
        "TEXT named_metrics.in_flight=-1",
    ] {
        assert!(matches!(bad(text), Garbage::Number(_)), "{text}");
    }
    let unreadable = Garbage::Unreadable("a latency in seconds");
    assert_eq!(bad("TEXT named_metrics.latency=nan"), unreadable);
    let long = format!("TEXT {}eps=1", "a=1,".repeat(2000));
    assert_eq!(bad(&long), Garbage::TooLong(long.len()));
    assert_eq!(
        of_message(&[0; 5000], &names()),
        Err(Garbage::TooLong(5000))
    );
    let nested = format!("JSON {}", "[".repeat(4000));
    assert_eq!(bad(&nested), Garbage::Unreadable("JSON"));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = of_message(&bytes, &names());
        let _ = of_binary_header(&bytes, &names());
        for form in [&b"TEXT "[..], b"JSON ", b"BIN "] {
            let _ = of_header(&[form, &bytes].concat(), &names());
        }
    }

    #[test]
    fn whatever_another_library_writes_is_read(
        cpu in 0.0..10.0, rate in 0.0..1e6, errors in 0.0..1e3, application in 0.0..10.0,
        metrics in prop::collection::hash_map("[a-z]{1,8}", any::<f64>(), 0..10),
    ) {
        let message = OrcaLoadReport {
            cpu_utilization: cpu,
            rps_fractional: rate,
            eps: errors,
            application_utilization: application,
            named_metrics: metrics,
            ..OrcaLoadReport::default()
        };
        let report = of_message(&message.encode_to_vec(), &names()).unwrap();
        let of = |rate: Option<Rate>| rate.map_or(0.0, Rate::value);
        prop_assert_eq!(of(report.requests_per_second()), rate);
        prop_assert_eq!(of(report.errors_per_second()), errors);
        let expected = if application > 0.0 { application } else { cpu };
        prop_assert_eq!(report.utilization().map_or(0.0, Utilization::value), expected);
    }
}
