#!/usr/bin/env bash
# Changes the cluster key without a break, in three steps, each with a rolling deployment of the nodes:
#
#   scripts/rotate-cluster-key.sh <environment> begin     old      ->  old,new   every node accepts both
#   scripts/rotate-cluster-key.sh <environment> switch    old,new  ->  new,old   every node signs with the new one
#   scripts/rotate-cluster-key.sh <environment> end       new,old  ->  new       the old one is worth nothing
#
# `all` does the three. A step that failed can be repeated: `switch` twice goes back, `end` keeps the key that nodes sign
# with, so no order of steps locks nodes out of each other. Needs the AWS command line and its credentials.
set -euo pipefail

fail() {
    echo "rotate-cluster-key: $*" >&2
    exit 1
}

[[ $# -eq 2 ]] || fail "usage: rotate-cluster-key.sh <environment> begin|switch|end|all"
environment=$1
step=$2
[[ $step =~ ^(begin|switch|end|all)$ ]] || fail "$step is no step: begin, switch, end, all"

# An environment is one stack (a trial), or two with the data by itself.
if aws cloudformation describe-stacks --stack-name "roomcast-$environment" >/dev/null 2>&1; then
    data=roomcast-$environment
    nodes=$data
else
    data=roomcast-$environment-data
    nodes=roomcast-$environment-service
fi

output() {
    aws cloudformation describe-stacks --stack-name "$1" \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue | [0]" --output text
}

secret=$(output "$data" ClusterKeyArn)
cluster=$(output "$nodes" Cluster)
service=$(output "$nodes" Service)

# A step may only begin when the one before it has reached every node.
settled() {
    aws ecs wait services-stable --cluster "$cluster" --services "$service"
}

current() {
    aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text
}

# By a file that nobody else can read: arguments can be seen by all users of the machine.
store() {
    local file
    file=$(umask 077 && mktemp)
    printf %s "$1" >"$file"
    aws secretsmanager put-secret-value --secret-id "$secret" --secret-string "file://$file" >/dev/null || {
        rm -f "$file"
        fail "the secret was not changed"
    }
    rm -f "$file"
}

roll() {
    aws ecs update-service --cluster "$cluster" --service "$service" --force-new-deployment >/dev/null
    settled
}

new_key() {
    aws secretsmanager get-random-password --password-length 48 --exclude-punctuation \
        --query RandomPassword --output text
}

run() {
    local keys
    settled
    keys=$(current)
    case $1 in
    begin)
        [[ $keys != *,* ]] || fail "there are two keys already: go on with switch, or end to keep the first"
        store "$keys,$(new_key)"
        ;;
    switch)
        [[ $keys == *,* ]] || fail "there is one key: begin first"
        store "${keys#*,},${keys%%,*}"
        ;;
    end)
        [[ $keys == *,* ]] || fail "there is one key: nothing to end"
        store "${keys%%,*}"
        ;;
    esac
    roll
    echo "rotate-cluster-key: $environment: $1 is done"
}

if [[ $step == all ]]; then
    for each in begin switch end; do run "$each"; done
else
    run "$step"
fi
