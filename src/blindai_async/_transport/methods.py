"""The paths of the calls: part of the wire, unlike the package names of our messages."""

GET_CERTIFICATE = "/untrusted.Attestation/GetCertificate"
GET_EVIDENCE = "/untrusted.Attestation/GetSgxQuoteWithCollateral"
GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"

SEND_MODEL = "/securedexchange.Exchange/SendModel"
RUN_MODEL = "/securedexchange.Exchange/RunModel"
DELETE_MODEL = "/securedexchange.Exchange/DeleteModel"

GET_ENCLAVE = "/LicensingService/GetEnclave"
