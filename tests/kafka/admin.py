"""Permissions and users of a test broker; Rust's Kafka client has no calls for them.

    admin.py --bootstrap 127.0.0.1:9092 allow alice read 'topic accountpulse.*'
    admin.py --bootstrap 127.0.0.1:9092 disallow alice read 'topic accountpulse.*'
    admin.py --bootstrap 127.0.0.1:9092 add-user carol carol-secret
    admin.py --bootstrap 127.0.0.1:9092 remove-user carol
"""

import argparse
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

TIMEOUT_SECONDS = 30
MECHANISMS = {ScramMechanism.SCRAM_SHA_512, ScramMechanism.SCRAM_SHA_256}
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}


def permission(shape, user, operation, resource):
    kind, _, name = resource.partition(" ")
    pattern = ResourcePatternType.LITERAL
    if kind == "cluster":
        name = "kafka-cluster"
    elif name.endswith("*") and name != "*":
        name, pattern = name[:-1], ResourcePatternType.PREFIXED
    return shape(KINDS[kind], name, pattern, f"User:{user}", "*",
                 AclOperation[operation.upper()], AclPermissionType.ALLOW)


def wait(futures):
    return [future.result(TIMEOUT_SECONDS) for future in futures.values()]


def until(wanted, ask):
    """The controller's word comes first; clients meet the broker, so the broker is asked."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while ask() != wanted:
        assert time.monotonic() < deadline, "the broker has not heard of it"


def until_permission(wanted, admin, *what):
    pattern = permission(AclBindingFilter, *what)
    until(wanted, lambda: len(admin.describe_acls(pattern).result(TIMEOUT_SECONDS)) > 0)


def allow(admin, *what):
    wait(admin.create_acls([permission(AclBinding, *what)]))
    until_permission(True, admin, *what)


def disallow(admin, *what):
    removed = wait(admin.delete_acls([permission(AclBindingFilter, *what)]))
    assert removed[0], "there was no such permission"
    until_permission(False, admin, *what)


def mechanisms(admin, user):
    try:
        [found] = wait(admin.describe_user_scram_credentials([user]))
        return {info.mechanism for info in found.scram_credential_infos}
    except KafkaException as error:
        if error.args[0].code() == KafkaError.RESOURCE_NOT_FOUND:
            return set()
        raise


def add_user(admin, user, password):
    # A request may name a user once.
    for mechanism in MECHANISMS:
        credential = ScramCredentialInfo(mechanism, 4096)
        wait(admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, credential, password.encode())]))
    until(MECHANISMS, lambda: mechanisms(admin, user))


def remove_user(admin, user):
    for mechanism in mechanisms(admin, user):
        wait(admin.alter_user_scram_credentials([UserScramCredentialDeletion(user, mechanism)]))
    until(set(), lambda: mechanisms(admin, user))


COMMANDS = {"allow": allow, "disallow": disallow, "add-user": add_user, "remove-user": remove_user}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="+")
    args = parser.parse_args()
    COMMANDS[args.command](AdminClient({"bootstrap.servers": args.bootstrap}), *args.arguments)


main()
