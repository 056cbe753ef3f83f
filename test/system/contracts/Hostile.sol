// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Contracts that a test sets on AnchorRegistry.

/// Asks for many verdicts in one call: 1 true, 0 false, 2 reverted or no boolean.
contract Verdicts {
    function ask(address registry, bytes[] calldata questions) external view returns (bytes memory verdicts) {
        verdicts = new bytes(questions.length);
        for (uint256 i = 0; i < questions.length; ++i) {
            (bool answered, bytes memory answer) = registry.staticcall(questions[i]);
            uint256 word = answered && answer.length == 32 ? uint256(bytes32(answer)) : 2;
            verdicts[i] = bytes1(uint8(word > 1 ? 2 : word));
        }
    }
}

/// An owner that is a contract (EIP-1271) and answers as it was told to.
contract Wallet {
    enum Says { BY_KEY, YES, NO, OTHER_WORD, DIRTY, SHORT, REVERT, REVERT_YES, BURN, MUCH, MUCH_WRONG, NOTHING, CALLS }

    bytes4 private constant MAGIC = 0x1626ba7e;
    address private immutable key;
    Says public says;
    address public target;
    bytes public question;

    constructor(address key_) {
        key = key_;
    }

    function set(Says says_) external {
        says = says_;
    }

    /// What it does when it is asked for its signature.
    function setCall(address target_, bytes calldata question_) external {
        says = Says.CALLS;
        target = target_;
        question = question_;
    }

    /// As the owner's own transaction.
    function act(address to, bytes calldata data) external {
        (bool done, bytes memory answer) = to.call(data);
        if (!done) {
            assembly ("memory-safe") { revert(add(answer, 32), mload(answer)) }
        }
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external returns (bytes4) {
        if (says == Says.YES) return MAGIC;
        if (says == Says.NO) return 0xffffffff;
        if (says == Says.REVERT) revert("no");
        if (says == Says.CALLS) {
            (bool done,) = target.call(question);
            require(done, "refused");
            return MAGIC;
        }
        if (says == Says.BY_KEY) {
            (bytes32 r, bytes32 s, uint8 v) = abi.decode(signature, (bytes32, bytes32, uint8));
            return ecrecover(digest, v, r, s) == key ? MAGIC : bytes4(0);
        }
        Says how = says;
        bytes4 magic = MAGIC;
        assembly {
            mstore(0, magic)
            mstore(32, 0)
            switch how
            case 3 { mstore(0, 1) return(0, 32) }
            case 4 { mstore(0, or(magic, 1)) return(0, 32) }
            case 5 { return(0, 4) }
            case 7 { revert(0, 32) }
            case 8 { invalid() }
            case 9 { return(0, 100000) }
            case 10 { mstore(0, 1) return(0, 100000) }
        }
        assembly { return(0, 0) }
    }
}

/// Runs the registry's code on storage of its own.
contract Impostor {
    address private immutable code;

    constructor(address code_) {
        code = code_;
    }

    fallback() external {
        (bool done, bytes memory answer) = code.delegatecall(msg.data);
        assembly ("memory-safe") {
            if iszero(done) { revert(add(answer, 32), mload(answer)) }
            return(add(answer, 32), mload(answer))
        }
    }
}
