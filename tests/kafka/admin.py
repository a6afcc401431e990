"""Permissions and users of a test broker; Rust's Kafka client has no calls for them.

    admin.py --bootstrap 127.0.0.1:9092 allow alice read 'topic accountpulse.*'
    admin.py --bootstrap 127.0.0.1:9092 disallow alice read 'topic accountpulse.*'
    admin.py --bootstrap 127.0.0.1:9092 add-user carol carol-secret
    admin.py --bootstrap 127.0.0.1:9092 remove-user carol
"""

import argparse

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
MECHANISMS = [ScramMechanism.SCRAM_SHA_512, ScramMechanism.SCRAM_SHA_256]
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


def allow(admin, user, operation, resource):
    wait(admin.create_acls([permission(AclBinding, user, operation, resource)]))


def disallow(admin, user, operation, resource):
    removed = wait(admin.delete_acls([permission(AclBindingFilter, user, operation, resource)]))
    assert removed[0], "there was no such permission"


def add_user(admin, user, password):
    # The broker may serve from the old state for some milliseconds: clients retry.
    wait(admin.alter_user_scram_credentials([
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
        for mechanism in MECHANISMS
    ]))


def remove_user(admin, user):
    wait(admin.alter_user_scram_credentials([
        UserScramCredentialDeletion(user, mechanism) for mechanism in MECHANISMS
    ]))


COMMANDS = {"allow": allow, "disallow": disallow, "add-user": add_user, "remove-user": remove_user}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="+")
    args = parser.parse_args()
    COMMANDS[args.command](AdminClient({"bootstrap.servers": args.bootstrap}), *args.arguments)


main()
